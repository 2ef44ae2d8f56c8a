"""Apple's unified memory: one for everything, of which the system lets the graphics take a part."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localllm.core.hardware.gpu_table import GIB, sure_bandwidth
from localllm.core.hardware.graphics import MIB, sensible_size
from localllm.core.hardware.processor import clean_name, parse_sysctl
from localllm.core.hardware.sources import ToolFailed
from localllm.core.machine import Gpu

if TYPE_CHECKING:
    from localllm.core.hardware.gpu_table import GpuTable
    from localllm.core.hardware.sources import System


def read_apple(system: System, table: GpuTable, deadline: float) -> tuple[Gpu, ...]:
    """Return the graphics part of an Apple chip; none on Macs with Intel's processors."""
    if system.architecture != "arm64":
        return ()
    values = parse_sysctl(system.run(["sysctl", "hw", "machdep.cpu", "iogpu"], deadline))
    name = clean_name(values.get("machdep.cpu.brand_string", ""))
    total = sensible_size(_number(values.get("hw.memsize", "")))
    if not name or total is None:
        return ()
    rows = table.find(name, gpu_cores=_gpu_cores(system, deadline))
    return (
        Gpu(
            name=name,
            vendor="Apple",
            kind="unified",
            memory_total=working_set(total, _number(values.get("iogpu.wired_limit_mb", ""))),
            driver="Metal",
            bandwidth=sure_bandwidth(rows) or min((row.bandwidth for row in rows), default=None),
        ),
    )


def working_set(total: int, wired_limit: int | None) -> int:
    """Return what macOS lets graphics take: the limit somebody set (MiB), else 2/3 up to 36 GiB, else 3/4."""
    if wired_limit:
        return min(total, wired_limit * MIB)
    return total * 2 // 3 if total <= 36 * GIB else total * 3 // 4


def _gpu_cores(system: System, deadline: float) -> int | None:
    try:
        listing = system.run(["ioreg", "-rc", "AGXAccelerator", "-d", "1"], deadline)
    except ToolFailed:
        return None
    found = re.search(r'"gpu-core-count" = (\d{1,4})', listing)
    return int(found[1]) if found else None


def _number(written: str) -> int | None:
    return int(written) if written.isascii() and written.isdigit() and len(written) < 20 else None
