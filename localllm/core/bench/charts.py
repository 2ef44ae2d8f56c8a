"""What charts of benches show: what differs between rows, what lines run over, and the roofline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.core.bench.rows import BenchRow, Value

Kind = Literal["read", "write", "both"]
KINDS: tuple[Kind, ...] = ("read", "write", "both")
SETTINGS = (
    "model_filename", "n_gpu_layers", "n_cpu_moe", "n_threads", "cpu_mask", "cpu_strict", "poll", "n_batch",
    "n_ubatch", "type_k", "type_v", "split_mode", "main_gpu", "devices", "tensor_split",
    "tensor_buft_overrides", "no_kv_offload", "no_op_offload", "no_host", "embeddings", "flash_attn",
    "load_mode", "lazy_mode", "repack", "build_commit", "cpu_info", "gpu_info",
)  # fmt: skip
AMOUNTS = ("n_prompt", "n_gen", "n_depth", "sequences")
ACROSS = ("n_depth", "n_threads", "n_gpu_layers", "n_cpu_moe", "n_ubatch", "n_batch", "n_prompt", "sequences")
_FLOPS_PER_WEIGHT = 2.0


def kind_of(row: BenchRow) -> Kind:
    """Return what a test does: reads a prompt, writes, or one after the other."""
    if row.number("n_prompt") and row.number("n_gen"):
        return "both"
    return "read" if row.number("n_prompt") else "write"


def value_of(row: BenchRow, name: str) -> Value:
    """Return a setting or an amount; "" where an imported file lacks it."""
    return row.sequences if name == "sequences" else row.fields.get(name, "")


def differing(rows: Sequence[BenchRow], names: Sequence[str] = SETTINGS) -> tuple[str, ...]:
    """Return the names whose values are not the same in all rows."""
    return tuple(name for name in names if len({value_of(row, name) for row in rows}) > 1)


def of_kind(rows: Sequence[BenchRow], kind: Kind) -> list[BenchRow]:
    """Return the rows of one kind that have a figure."""
    return [row for row in rows if row.samples and kind_of(row) == kind]


def across_of(rows: Sequence[BenchRow]) -> tuple[str, ...]:
    """Return what lines can run over: numbers that have several values."""
    return tuple(name for name in differing(rows, ACROSS) if all(_is_number(row, name) for row in rows))


def _is_number(row: BenchRow, name: str) -> bool:
    return isinstance(value_of(row, name), int)


@dataclass(frozen=True)
class Line:
    """Rows that differ in one number only, in its order; `key` is what they have in common."""

    key: tuple[tuple[str, Value], ...]
    rows: tuple[BenchRow, ...]


def lines_of(rows: Sequence[BenchRow], across: str) -> tuple[Line, ...]:
    """Return a line for each combination of everything else; of equal places the newest row counts."""
    names = [name for name in differing(rows, (*SETTINGS, *AMOUNTS)) if name != across]
    found: dict[tuple[tuple[str, Value], ...], dict[Value, BenchRow]] = {}
    for row in rows:
        key = tuple((name, value_of(row, name)) for name in names)
        found.setdefault(key, {})[value_of(row, across)] = row
    return tuple(
        Line(key, tuple(sorted(places.values(), key=lambda row: int(value_of(row, across)))))
        for key, places in found.items()
    )


@dataclass(frozen=True)
class RoofPoint:
    """A row in the roofline: operations per byte of weights read, and operations per second."""

    row: BenchRow
    intensity: float
    rate: float


def roof_points(rows: Sequence[BenchRow], active: Mapping[str, float]) -> tuple[RoofPoint, ...]:
    """Return what each row computes, and for how many bytes of weights.

    A token of a prompt shares the reading of weights with those of its physical batch, a written one with
    those of the other sequences. The cache is left out: its share grows with the depth.

    Args:
        rows: Rows without a figure, or whose model nobody knows, are left out, as are those of both kinds.
        active: For each `model_filename` the share of weights that a token uses; 1 where it is missing.
    """
    found: list[RoofPoint] = []
    for row in rows:
        size, weights = row.number("model_size"), row.number("model_n_params")
        if not row.samples or not size or not weights or kind_of(row) == "both":
            continue
        share = active.get(str(row.fields.get("model_filename", "")), 1.0)
        together = row.sequences
        if kind_of(row) == "read":
            together = min(row.number("n_prompt") * row.sequences, row.number("n_ubatch") or 512)
        operations = _FLOPS_PER_WEIGHT * weights * share
        bytes_read = size * (share if together == 1 else min(1.0, share * together))
        found.append(RoofPoint(row, operations * together / bytes_read, operations * row.mean))
    return tuple(found)
