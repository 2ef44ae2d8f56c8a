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
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from localllm.core.bench.rows import BenchRow, Value

Format = Literal["md", "csv", "json", "jsonl", "sql"]

_NAMES = (*FIELDS, *COMPUTED)
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


class Writer:
    """Writes rows as they come; together the pieces are what `render` returns of them all.

    Args:
        form: One of llama-bench's formats.
        columns: The table's, for all rows to come; asked at its first row.
    """

    def __init__(self, form: Format, columns: Callable[[BenchRow], Sequence[str]]) -> None:
        self._form: Format = form
        self._choose = columns
        self._columns: Sequence[str] = ()
        self._builds: dict[tuple[Value | None, Value | None], None] = {}
        self._begun = self._among = False

    def add(self, row: BenchRow) -> str:
        """Return what one more row adds."""
        head = self._begin()
        if not row.samples or (row.sequences > 1 and self._form in ("csv", "sql")):
            return head
        before, self._among = ",\n" if self._among and self._form == "json" else "", True
        return head + before + (self._table_line(row) if self._form == "md" else _LINES[self._form](row))

    def end(self) -> str:
        """Return what ends the rows."""
        head = self._begin()
        if self._form == "md":
            return "".join(f"\nbuild: {commit} ({number})\n" for commit, number in self._builds)
        return head + ("\n]\n" if self._form == "json" else "")

    def _begin(self) -> str:
        first, self._begun = not self._begun, True
        return _HEADS[self._form] if first else ""

    def _table_line(self, row: BenchRow) -> str:
        self._builds[row.fields.get("build_commit"), row.fields.get("build_number")] = None
        head = ""
        if not self._columns:
            self._columns = self._choose(row)
            head = markdown_header(self._columns)
        return head + markdown_row(row, self._columns)


def render(rows: Iterable[BenchRow], form: Format) -> str:
    """Return the rows that have a figure, in one of llama-bench's formats."""
    good = [row for row in rows if row.samples]
    writer = Writer(form, lambda _: markdown_columns([row.fields for row in good]))
    return "".join(writer.add(row) for row in good) + writer.end()


def markdown_columns(rows: Sequence[Mapping[str, Value]]) -> list[str]:
    """Return the columns of llama-bench's table: of the settings those that vary or are unusual."""
    on_cpu = any(word in str(row.get("backends")) for row in rows for word in ("CPU", "BLAS", "ZenDNN"))
    columns: list[str] = [*_ALWAYS] if on_cpu else [*_ALWAYS, "n_gpu_layers"]
    for name, usual in _USUAL.items():
        values = {row.get(name, usual) for row in rows}
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


def _csv_line(row: BenchRow) -> str:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(_values(row))
    return file.getvalue()


def _values(row: BenchRow) -> list[str]:
    fields = row.all_fields()
    return [_plain(fields.get(name, "")) for name in _NAMES]


def _json_block(row: BenchRow) -> str:
    lines = ",\n".join(f"    {name}: {value}" for name, value in _json_pairs(row))
    return f"  {{\n{lines}\n  }}"


def _json_line(row: BenchRow) -> str:
    line = "{" + ", ".join(f"{name}: {value}" for name, value in _json_pairs(row)) + "}\n"
    return line.replace(' ], "samples_ts"', ' ],"samples_ts"')  # as llama-bench


def _json_pairs(row: BenchRow) -> list[tuple[str, str]]:
    pairs = [(name, _as_json_value(value)) for name, value in row.all_fields().items()]
    pairs.append(("samples_ns", f"[ {', '.join(str(sample) for sample in row.samples)} ]"))
    pairs.append(("samples_ts", f"[ {', '.join(f'{speed:g}' for speed in row.speeds)} ]"))
    if row.sequences > 1:
        pairs.append(("sequences", str(row.sequences)))
    return [(json.dumps(name), value) for name, value in pairs]


def _as_json_value(value: Value) -> str:
    return f"{value:.6f}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _sql_line(row: BenchRow) -> str:
    values = ", ".join("'" + value.replace("'", "''") + "'" for value in _values(row))
    return f"INSERT INTO llama_bench ({', '.join(_NAMES)}) VALUES ({values});\n"  # noqa: S608 - quoted


def _sql_head() -> str:
    columns = ",\n".join(f"  {name} {_sql_type(name)}" for name in _NAMES)
    return f"CREATE TABLE IF NOT EXISTS llama_bench (\n{columns}\n);\n\n"


def _sql_type(name: str) -> str:
    if name in _FLOATS:
        return "REAL"
    return "TEXT" if name in _STRINGS else "INTEGER"


_HEADS: dict[Format, str] = {
    "md": "", "csv": ",".join(_NAMES) + "\n", "json": "[\n", "jsonl": "", "sql": _sql_head()
}  # fmt: skip
_LINES: dict[Format, Callable[[BenchRow], str]] = {
    "csv": _csv_line, "json": _json_block, "jsonl": _json_line, "sql": _sql_line
}  # fmt: skip
