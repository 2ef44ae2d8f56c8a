"""llama-bench's five formats, so that what reads its output reads ours (llama.cpp 0c1e570).

A row that failed has no place in them: a reader would take it for a speed of 0. Nor have several sequences
at a time in CSV and SQL, whose columns are llama-bench's; in JSON they are an entry that it does not have.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Literal

from localllm.core.bench.rows import COMPUTED, FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from localllm.core.bench.rows import BenchRow, Value

Format = Literal["md", "csv", "json", "jsonl", "sql"]

_MIB, _GIB = 2**20, 2**30
_ALWAYS = ("model", "size", "params", "backend")
# in the order of the table's columns
_USUAL: dict[str, Value] = {
    "n_cpu_moe": 0, "n_threads": -1, "cpu_mask": "0x0", "cpu_strict": False, "poll": 50, "n_batch": 2048,
    "n_ubatch": 512, "type_k": "f16", "type_v": "f16", "main_gpu": 0, "split_mode": "layer",
    "no_kv_offload": False, "flash_attn": -1, "devices": "auto", "tensor_split": "0.00",
    "tensor_buft_overrides": "none", "load_mode": "auto", "lazy_mode": "auto", "embeddings": False,
    "no_op_offload": 0, "no_host": False, "repack": True, "fit_target": 0, "fit_min_ctx": 0,
}  # fmt: skip
_SHORT = {
    "n_gpu_layers": "ngl", "split_mode": "sm", "n_threads": "threads", "no_kv_offload": "nkvo",
    "flash_attn": "fa", "load_mode": "lm", "embeddings": "embd", "no_op_offload": "nopo", "no_host": "noh",
    "repack": "rpk", "devices": "dev", "tensor_split": "ts", "tensor_buft_overrides": "ot",
    "fit_target": "fitt", "fit_min_ctx": "fitc",
}  # fmt: skip
_WIDTHS = {
    "model": -30, "t/s": 20, "size": 10, "params": 10, "n_gpu_layers": 3, "n_threads": 7, "n_batch": 7,
    "n_ubatch": 8, "type_k": 6, "type_v": 6, "split_mode": 6, "load_mode": 10, "flash_attn": 3, "test": 15,
    "no_op_offload": 4, "no_host": 4, "repack": 3, "devices": -12,
}  # fmt: skip
_STRINGS = frozenset(
    ("build_commit", "cpu_info", "gpu_info", "backends", "model_filename", "model_type", "cpu_mask", "type_k",
     "type_v", "split_mode", "devices", "tensor_split", "tensor_buft_overrides", "load_mode", "lazy_mode",
     "test_time", "backend")
)  # fmt: skip
_FLOATS = frozenset(("avg_ts", "stddev_ts"))


def render(rows: Iterable[BenchRow], form: Format) -> str:
    """Return the rows that have a figure, in one of llama-bench's formats."""
    good = [row for row in rows if row.samples]
    return {
        "md": _as_markdown, "csv": _as_csv, "json": _as_json, "jsonl": _as_json_lines, "sql": _as_sql
    }[form](good)  # fmt: skip


def markdown_columns(rows: Sequence[BenchRow]) -> list[str]:
    """Return the columns of llama-bench's table: of the settings those that vary or are unusual."""
    on_cpu = any(
        word in str(row.fields.get("backends")) for row in rows for word in ("CPU", "BLAS", "ZenDNN")
    )
    columns: list[str] = [*_ALWAYS] if on_cpu else [*_ALWAYS, "n_gpu_layers"]
    for name, usual in _USUAL.items():
        values = {row.fields.get(name, usual) for row in rows}
        if on_cpu if name == "n_threads" and len(values) == 1 else values - {usual}:
            columns.append(name)
    return [*columns, "test", "t/s"]


def markdown_header(columns: Sequence[str]) -> str:
    """Return the two lines above the table's rows."""
    names = " | ".join(_padded(_SHORT.get(name, name), _width(name)) for name in columns)
    lines = " | ".join("-" * (abs(_width(name)) - 1) + ("-" if _width(name) < 0 else ":") for name in columns)
    return f"| {names} |\n| {lines} |\n"


def markdown_row(row: BenchRow, columns: Sequence[str]) -> str:
    """Return one line of the table."""
    return "| " + " | ".join(_padded(_cell(row, name), _width(name)) for name in columns) + " |\n"


def _as_markdown(rows: Sequence[BenchRow]) -> str:
    columns = markdown_columns(rows)
    builds = dict.fromkeys((row.fields.get("build_commit"), row.fields.get("build_number")) for row in rows)
    footer = "".join(f"\nbuild: {commit} ({number})\n" for commit, number in builds)
    return markdown_header(columns) + "".join(markdown_row(row, columns) for row in rows) + footer


def _cell(row: BenchRow, name: str) -> str:
    size, weights = row.number("model_size"), row.number("model_n_params")
    cells = {
        "model": str(row.fields.get("model_type", "")),
        "size": f"{size / _MIB:.2f} MiB" if size < _GIB else f"{size / _GIB:.2f} GiB",
        "params": f"{weights / 1e6:.2f} M" if weights < 10**9 else f"{weights / 1e9:.2f} B",
        "backend": str(row.fields.get("backends", "")),
        "test": row.test,
        "t/s": f"{row.mean:.2f} ± {row.deviation:.2f}",
    }
    return cells[name] if name in cells else _plain(row.fields.get(name, ""))


def _width(name: str) -> int:
    usual = max(len(name), 10)
    return _WIDTHS.get(name, -usual if name in _STRINGS else usual)


def _padded(words: str, width: int) -> str:
    return words.ljust(-width) if width < 0 else words.rjust(width)


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _as_csv(rows: Sequence[BenchRow]) -> str:
    file = io.StringIO()
    file.write(",".join((*FIELDS, *COMPUTED)) + "\n")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(_values(row) for row in rows if row.sequences == 1)
    return file.getvalue()


def _values(row: BenchRow) -> list[str]:
    fields = row.all_fields()
    return [_plain(fields.get(name, "")) for name in (*FIELDS, *COMPUTED)]


def _as_json(rows: Sequence[BenchRow]) -> str:
    blocks = [",\n".join(f"    {name}: {value}" for name, value in _json_pairs(row)) for row in rows]
    return "[\n" + ",\n".join(f"  {{\n{block}\n  }}" for block in blocks) + "\n]\n"


def _as_json_lines(rows: Sequence[BenchRow]) -> str:
    lines = ("{" + ", ".join(f"{name}: {value}" for name, value in _json_pairs(row)) + "}\n" for row in rows)
    return "".join(line.replace(' ], "samples_ts"', ' ],"samples_ts"') for line in lines)  # as llama-bench


def _json_pairs(row: BenchRow) -> list[tuple[str, str]]:
    pairs = [(name, _as_json_value(value)) for name, value in row.all_fields().items()]
    pairs.append(("samples_ns", f"[ {', '.join(str(sample) for sample in row.samples)} ]"))
    pairs.append(("samples_ts", f"[ {', '.join(f'{speed:g}' for speed in row.speeds)} ]"))
    if row.sequences > 1:
        pairs.append(("sequences", str(row.sequences)))
    return [(json.dumps(name), value) for name, value in pairs]


def _as_json_value(value: Value) -> str:
    return f"{value:.6f}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _as_sql(rows: Sequence[BenchRow]) -> str:
    names = (*FIELDS, *COMPUTED)
    columns = ",\n".join(f"  {name} {_sql_type(name)}" for name in names)
    lines = [f"CREATE TABLE IF NOT EXISTS llama_bench (\n{columns}\n);\n\n"]
    for row in (one for one in rows if one.sequences == 1):
        values = ", ".join("'" + value.replace("'", "''") + "'" for value in _values(row))
        lines.append(f"INSERT INTO llama_bench ({', '.join(names)}) VALUES ({values});\n")  # noqa: S608 - quoted
    return "".join(lines)


def _sql_type(name: str) -> str:
    if name in _FLOATS:
        return "REAL"
    return "TEXT" if name in _STRINGS else "INTEGER"
