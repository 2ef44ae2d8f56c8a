"""What was measured, put together as it can be compared: same reference, same text, same chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localllm.core.evaluate.chart import make_charts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.evaluate.chart import ChartPoint
    from localllm.core.evaluate.results import Evaluation, Measured

GroupKind = Literal["quants", "caches", "plain"]
PLAIN_CACHE = "f16/f16"


@dataclass(frozen=True)
class Row:
    """One measured model.

    Attributes:
        result: None for the reference itself, which was only compared with.
        point: Its place in the chart; None where it has none, for its cache is another one.
    """

    model: Measured
    cache: str
    result: Evaluation | None = None
    point: ChartPoint | None = None


@dataclass(frozen=True)
class Group:
    """Results that can be compared with one another.

    Attributes:
        kind: "quants" of a reference, "caches" of one model, or "plain" perplexities without a reference.
        key: Tells it from the others, also later.
        rows: The smallest file first; of caches the truest.
    """

    kind: GroupKind
    key: str
    base: Measured | None
    text_name: str
    chunks: int
    rows: tuple[Row, ...]

    @property
    def points(self) -> tuple[ChartPoint, ...]:
        """Those of the chart, in the order of the rows."""
        return tuple(row.point for row in self.rows if row.point is not None)


def group_results(results: Iterable[Evaluation]) -> list[Group]:
    """Return the groups, the one measured last first.

    Args:
        results: The newest first. Of a file that was written anew only the newest counts.
    """
    found: dict[str, dict[tuple[str, str], Evaluation]] = {}
    for result in results:
        same = found.setdefault(key_of(result), {})
        same.setdefault((result.model.path, result.kv_types), result)
    return [_group(key, list(same.values())) for key, same in found.items()]


def key_of(result: Evaluation) -> str:
    """Return the key of the group that a result belongs to."""
    base = result.base.hash if result.base else ""
    return f"{_kind(result)} {base} {result.text_hash} {result.chunk_tokens} {result.figures.chunks}"


def _kind(result: Evaluation) -> GroupKind:
    if result.base is None:
        return "plain"
    return "caches" if result.base.hash == result.model.hash else "quants"


def _group(key: str, results: list[Evaluation]) -> Group:
    newest = results[0]
    kind = _kind(newest)
    charts = make_charts(results) if kind == "quants" else []
    points = {point.path: point for chart in charts for point in chart.points}
    rows = [
        Row(
            result.model,
            result.kv_types,
            result,
            points.get(result.model.path) if result.kv_types == PLAIN_CACHE else None,
        )
        for result in results
    ]
    if kind == "quants" and newest.base is not None:
        rows.append(Row(newest.base, PLAIN_CACHE, None, points.get(newest.base.path)))
    rows.sort(key=_divergence if kind == "caches" else _size)
    return Group(kind, key, newest.base, newest.text_name, newest.figures.chunks, tuple(rows))


def _size(row: Row) -> float:
    return row.model.size


def _divergence(row: Row) -> float:
    comparison = row.result.figures.comparison if row.result else None
    return comparison.divergence.mean.value if comparison else 0.0
