"""What the sources of graphics processors share: sensible sizes, plain names and ids, the bandwidth."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localllm.core.hardware.gpu_table import sure_bandwidth
from localllm.core.hardware.processor import clean_name

if TYPE_CHECKING:
    from localllm.core.hardware.gpu_table import GpuTable
    from localllm.core.machine import Gpu

MIB = 2**20
MAX_GPUS = 64
_MOST_MEMORY = 2**43  # 8 TiB: more than any card, so a driver that says more is wrong


@dataclass(frozen=True)
class Found:
    """What one source saw, and the sentences about what it could not see."""

    gpus: tuple[Gpu, ...] = ()
    notes: tuple[str, ...] = ()


def sensible_size(size: int | None) -> int | None:
    """Return a memory size in bytes, None for one that no card has."""
    return size if size is not None and MIB <= size <= _MOST_MEMORY else None


def sensible_free(free: int | None, total: int | None) -> int | None:
    """Return the free part of a memory, None for one that cannot be."""
    return free if free is not None and total is not None and 0 <= free <= total else None


def plain_pci_id(bus_id: str | None) -> str | None:
    """Return "0000:01:00.0" for what drivers write ("00000000:01:00.0", "01:00.0"), None for others."""
    match = re.fullmatch(
        r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])", (bus_id or "").strip().lower()
    )
    return f"{(match[1] or '0000')[-4:]}:{match[2]}" if match else None


def plain_gpu_name(name: str) -> str:
    """Return a card's name without its maker's, as people say it: "GeForce RTX 4090", "Arc A770"."""
    plain = re.sub(r"^(?:NVIDIA|AMD|Intel)\s+", "", clean_name(name)).removesuffix(" Lite Hash Rate")
    return re.sub(r"^(Arc .+|Radeon .+) Graphics$", r"\1", plain)


def with_bandwidth(gpu: Gpu, table: GpuTable, computed: float | None = None) -> Gpu:
    """Add the peak bandwidth.

    From the table by exact name, else what the driver's clocks give, else the least of the revisions that
    share the name and size.
    """
    rows = table.find(gpu.name, None if gpu.kind != "discrete" else gpu.memory_total)
    least = min((row.bandwidth for row in rows), default=None)
    return replace(gpu, bandwidth=sure_bandwidth(rows) or computed or least)
