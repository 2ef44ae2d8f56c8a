"""A report to take along: as Markdown in the window's language, as CSV for programs."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from localllm.texts import Text, text
from localllm.ui.itemmodels.quality import MeasuredTable, name_of
from localllm.ui.translation import say

if TYPE_CHECKING:
    from localllm.core.evaluate import Group, Row

_FIELDS: tuple[str, ...] = (
    "model", "quant", "sha256", "size", "tokens_per_second", "speed_measured", "base", "base_sha256",
    "cache", "text", "text_sha256", "chunks", "positions", "ppl", "ppl_error", "base_ppl", "base_ppl_error",
    "kld_mean", "kld_mean_error", "kld_median", "kld_p99", "kld_max", "same_top", "same_top_error",
    "rms_delta_p", "rms_delta_p_error", "worth_having",
)  # fmt: skip


def title_of(group: Group) -> Text:
    """Return what a group is called."""
    if group.base is None:
        return text("Perplexity on “{text}”, chunks: {count}", text=group.text_name, count=group.chunks)
    values = {"model": group.base.name, "text": group.text_name, "count": group.chunks}
    if group.kind == "caches":
        return text("Cache types of {model} on “{text}”, chunks: {count}", **values)
    return text("Compared with {model} on “{text}”, chunks: {count}", **values)


def as_markdown(group: Group) -> str:
    """Return the table, and below it what the figures of each model mean."""
    table = MeasuredTable(group)
    heads = [_cell(say(column.title)) for column in table.columns]
    sides = ["---:" if column.right else "---" for column in table.columns]
    rows = [[_cell(say(column.shown(row))) for column in table.columns] for row in table.records]
    lines = [f"## {say(title_of(group))}", "", *(_line(cells) for cells in (heads, sides, *rows))]
    for row in table.records:
        lines += _meanings(row)
    return "\n".join(lines) + "\n"


def as_csv(group: Group) -> str:
    """Return one line for each model, with the names and units of `localllm evaluate --json`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_record(group, row) for row in group.rows)
    return out.getvalue()


def _meanings(row: Row) -> list[str]:
    from localllm.core.evaluate import explain_figures

    if row.result is None:
        return []
    lines = ["", f"### {_cell(say(name_of(row)))}", ""]
    lines += [_line([say(text("Figure")), say(text("Value")), say(text("What it says"))]), _line(["---"] * 3)]
    return lines + [
        _line([_cell(say(part)) for part in (one.name, one.value, one.meaning)])
        for one in explain_figures(row.result.figures)
    ]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")


def _record(group: Group, row: Row) -> dict[str, object]:
    model, base = row.model, group.base
    record: dict[str, object] = {
        "model": model.name, "quant": model.quant, "sha256": model.hash, "size": model.size,
        "tokens_per_second": model.speed, "speed_measured": model.speed_measured, "cache": row.cache,
        "base": base.name if base else None, "base_sha256": base.hash if base else None,
        "text": group.text_name, "worth_having": row.point.on_front if row.point else None,
    }  # fmt: skip
    return record | _figures(row)


def _figures(row: Row) -> dict[str, object]:
    if row.result is None:
        return {}
    figures, comparison = row.result.figures, row.result.figures.comparison
    found: dict[str, object] = {
        "text_sha256": row.result.text_hash, "chunks": figures.chunks, "positions": figures.positions,
        "ppl": figures.ppl.value, "ppl_error": figures.ppl.error,
    }  # fmt: skip
    if comparison is None:
        return found
    divergence = comparison.divergence
    return found | {
        "base_ppl": comparison.base_ppl.value, "base_ppl_error": comparison.base_ppl.error,
        "kld_mean": divergence.mean.value, "kld_mean_error": divergence.mean.error,
        "kld_median": divergence.median, "kld_p99": divergence.p99, "kld_max": divergence.max,
        "same_top": comparison.same_top.value, "same_top_error": comparison.same_top.error,
        "rms_delta_p": comparison.rms_delta_p.value, "rms_delta_p_error": comparison.rms_delta_p.error,
    }  # fmt: skip
