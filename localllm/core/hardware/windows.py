"""Display adapters in the Windows registry, where the memory size is not cut at 4 GiB as elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localllm.core.hardware.graphics import MAX_GPUS, plain_gpu_name, sensible_size, with_bandwidth
from localllm.core.hardware.pci import VENDORS
from localllm.core.machine import Gpu

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.core.hardware.gpu_table import GpuTable
    from localllm.core.hardware.sources import System

ADAPTERS_KEY = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"


def read_windows_adapters(system: System, table: GpuTable) -> tuple[Gpu, ...]:
    """Return the adapters on the PCI bus of the vendors we know; virtual ones have other vendors."""
    half = system.memory().total // 2  # Windows' limit for what graphics may share
    found = [parse_adapter(values, half, table) for values in system.registry(ADAPTERS_KEY)]
    return tuple(gpu for gpu in found if gpu is not None)[:MAX_GPUS]


def parse_adapter(values: Mapping[str, str | int], shareable: int, table: GpuTable) -> Gpu | None:
    """Read one adapter's values."""
    match = re.match(
        r"pci\\ven_([0-9a-f]{4})&dev_([0-9a-f]{4})", str(values.get("MatchingDeviceId", "")).lower()
    )
    name = plain_gpu_name(str(values.get("DriverDesc", "")))
    if not match or match[1] not in VENDORS or not name:
        return None
    size = values.get("HardwareInformation.qwMemorySize", values.get("HardwareInformation.MemorySize"))
    integrated = match[2] in table.integrated_amd or (
        match[1] == "8086" and not _is_discrete_intel(name, table)
    )
    own = sensible_size(size) if isinstance(size, int) else None
    gpu = Gpu(
        name=name,
        vendor=VENDORS[match[1]],
        kind="integrated" if integrated else "discrete",
        memory_total=own,
        shared_total=shareable if integrated else None,
        driver=str(values["DriverVersion"]) if "DriverVersion" in values else None,
    )
    return with_bandwidth(gpu, table)


def _is_discrete_intel(name: str, table: GpuTable) -> bool:
    return any(row.kind == "discrete" for row in table.find(name))
