"""Main memory: what there is, what is free now, and what the control groups leave of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localllm.core.hardware.sources import MemoryNumbers
from localllm.core.machine import Memory

if TYPE_CHECKING:
    from localllm.core.hardware.cgroups import Limits
    from localllm.core.hardware.sources import System

_MEMINFO_LINE = re.compile(r"^([A-Za-z_()]+):\s+(\d{1,15}) kB$", re.MULTILINE)


def read_memory(system: System, limits: Limits) -> Memory:
    """Return main memory as it is now."""
    numbers = parse_meminfo(system.read_text("/proc/meminfo") or "") or system.memory()
    limit = limits.memory if limits.memory is not None and limits.memory < numbers.total else None
    available = numbers.available
    if limit is not None and limits.memory_left is not None:
        available = min(available, limits.memory_left)
    swap = numbers.swap_total if limits.swap is None else min(numbers.swap_total, limits.swap)
    return Memory(numbers.total, available, limit, swap, min(swap, numbers.swap_free))


def parse_meminfo(text: str) -> MemoryNumbers | None:
    """Read Linux' /proc/meminfo; None if it is not that."""
    values = {name: int(kilobytes) * 1024 for name, kilobytes in _MEMINFO_LINE.findall(text)}
    total = values.get("MemTotal", 0)
    if not total:
        return None
    free = values.get("MemFree", 0) + values.get("Cached", 0)  # before Linux 3.14 there is no MemAvailable
    available = min(total, values.get("MemAvailable", free))
    return MemoryNumbers(total, available, values.get("SwapTotal", 0), values.get("SwapFree", 0))
