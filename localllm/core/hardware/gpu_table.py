"""The table of graphics processors in `resources/hardware.json`: peak bandwidth by exact name.

Names are compared as sets of words after what drivers add or leave out ("NVIDIA", "(TM)", "Graphics") is
gone: "RTX 3060" never finds "RTX 3060 Ti", nor a laptop's card the desktop's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from localllm.core.machine import GpuKind
from localllm.paths import resources_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GIB = 2**30
_GIGA = 1e9
_TOLERANCE = 0.12  # drivers keep up to this share of the memory for themselves
_IGNORED_WORDS = frozenset(
    {
        *("nvidia", "amd", "ati", "intel", "apple", "corporation", "advanced", "micro", "devices", "inc"),
        *("geforce", "radeon", "graphics", "gpu", "processor", "series", "generation", "edition"),
        *("workstation", "desktop", "with", "design"),
    }
)
_MEMORY_SIZE = re.compile(r"\b(\d+) ?gib?\b|\b(\d+) ?gb\b")
_TRADE_MARKS = re.compile(r"\((r|tm|c)\)|[®™©]", re.IGNORECASE)


@dataclass(frozen=True)
class GpuRow:
    """One card of the table.

    Attributes:
        memory: Bytes of own memory, None where it has none or it varies.
        bandwidth: Theoretical peak in bytes/s.
        gpu_cores: Told apart by this where one name has several bandwidths (Apple).
        fp16_flops: Shader rate in operations/s, None if not known.
        sources: Keys of the file's `sources`.
    """

    name: str
    vendor: str
    kind: GpuKind
    bandwidth: float
    sources: tuple[str, ...]
    memory: int | None = None
    gpu_cores: int | None = None
    fp16_flops: float | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class GpuTable:
    """Every card by the words of its name; `integrated_amd`: PCI ids of graphics inside AMD's processors."""

    rows: Mapping[frozenset[str], tuple[GpuRow, ...]]
    integrated_amd: frozenset[str]

    @classmethod
    def load(cls, path: Path | None = None) -> GpuTable:
        """Read the table.

        Raises:
            ValueError: The file is damaged; the text names the row.
        """
        path = path or resources_folder() / "hardware.json"
        return parse_table(path.read_bytes())

    def find(self, name: str, memory: int | None = None, gpu_cores: int | None = None) -> tuple[GpuRow, ...]:
        """Return the rows that this name and size may be: none, one, or revisions that share both."""
        words, named_size = split_name(name)
        rows = self.rows.get(words, ())
        size = memory or named_size
        if size is not None:
            rows = tuple(row for row in rows if row.memory is None or _same_size(row.memory, size))
        if gpu_cores is not None:
            rows = tuple(row for row in rows if row.gpu_cores in {None, gpu_cores})
        return rows


def sure_bandwidth(rows: tuple[GpuRow, ...]) -> float | None:
    """Return the bandwidth if all rows agree on it within 2 %."""
    values = sorted(row.bandwidth for row in rows)
    return values[0] if values and values[-1] <= 1.02 * values[0] else None


def split_name(name: str) -> tuple[frozenset[str], int | None]:
    """Return the words that make out a card, and the memory size in its name in bytes."""
    plain = _TRADE_MARKS.sub(" ", name).lower().replace("max-q", "maxq").replace("mobile", "laptop")
    size = _MEMORY_SIZE.search(plain)
    plain = _MEMORY_SIZE.sub(" ", plain)
    words = frozenset(re.findall(r"[a-z0-9+]+", plain)) - _IGNORED_WORDS
    return words, int(size[1] or size[2]) * GIB if size else None


def _same_size(row: int, seen: int) -> bool:
    return abs(row - seen) <= _TOLERANCE * row


def parse_table(content: bytes) -> GpuTable:
    """Read the JSON of the table.

    Raises:
        ValueError: It is damaged; the text names the row and the field.
    """
    data: Any = json.loads(content)
    if not isinstance(data, dict):
        raise ValueError("hardware.json must hold an object")  # noqa: TRY004
    stored = cast("dict[str, Any]", data)
    sources: dict[str, Any] = stored.get("sources", {})
    rows: dict[frozenset[str], tuple[GpuRow, ...]] = {}
    for number, entry in enumerate(stored.get("gpus", [])):
        try:
            row = _parse_row(entry, frozenset(sources))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"hardware.json, gpus[{number}]: {error}") from error
        for words in {split_name(name)[0] for name in (row.name, *row.also)}:
            rows[words] = (*rows.get(words, ()), row)
    return GpuTable(rows, frozenset(stored.get("integrated_amd", [])))


def _parse_row(entry: dict[str, Any], sources: frozenset[str]) -> GpuRow:
    if entry["kind"] not in get_args(GpuKind):
        raise ValueError(f"kind {entry['kind']!r} is none of {', '.join(get_args(GpuKind))}")
    bandwidth, memory = float(entry["bandwidth_gbps"]), entry.get("vram_gb")
    if not 1 <= bandwidth <= 50_000 or not (memory is None or 0.1 <= memory <= 2048):
        raise ValueError(f"{entry['name']}: bandwidth or memory is out of range")
    if not entry["sources"] or not sources.issuperset(entry["sources"]):
        raise ValueError(f"{entry['name']}: sources must be keys of “sources”")
    return GpuRow(
        name=str(entry["name"]),
        vendor=str(entry["vendor"]),
        kind=entry["kind"],
        bandwidth=bandwidth * _GIGA,
        sources=tuple(entry["sources"]),
        memory=None if memory is None else int(memory * GIB),
        gpu_cores=entry.get("gpu_cores"),
        fp16_flops=entry["fp16_tflops"] * 1e12 if "fp16_tflops" in entry else None,
        also=tuple(entry.get("also", ())),
    )
