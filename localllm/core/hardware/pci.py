"""Graphics processors on Linux' PCI bus: AMD's and Intel's, and NVIDIA's where its driver is silent."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.hardware.graphics import (
    MAX_GPUS,
    plain_gpu_name,
    plain_pci_id,
    sensible_free,
    sensible_size,
    with_bandwidth,
)
from localllm.core.hardware.sources import ToolFailed
from localllm.core.machine import Gpu

if TYPE_CHECKING:
    from localllm.core.hardware.gpu_table import GpuTable
    from localllm.core.hardware.sources import System
    from localllm.core.machine import GpuKind

_log = logging.getLogger(__name__)

_DEVICES = "/sys/bus/pci/devices"
_AMD_NAMES = "/usr/share/libdrm/amdgpu.ids"
VENDORS = {
    "10de": "NVIDIA",
    "1002": "AMD",
    "8086": "Intel",
}  # all others are virtual or have no engine backend
_DISPLAY_CLASS, _ACCELERATOR_CLASS = "3", "12"
_GIVEN_AWAY = "vfio-pci"  # to a virtual machine


@dataclass(frozen=True)
class PciDevice:
    """A display device as its `uevent` describes it."""

    address: str
    vendor: str  # four hexadecimal digits
    device: str
    driver: str | None


def list_devices(system: System) -> list[PciDevice]:
    """Return the display devices of the vendors we know."""
    found = [
        parse_uevent(system.read_text(f"{_DEVICES}/{name}/uevent") or "", name)
        for name in system.list_folder(_DEVICES)
    ]
    return [device for device in found if device is not None][:MAX_GPUS]


def parse_uevent(text: str, address: str) -> PciDevice | None:
    """Read a PCI device's `uevent`; None if it is no graphics processor of a vendor we know."""
    pairs = (line.partition("=") for line in text.splitlines())
    fields = {name: value for name, _, value in pairs}
    vendor, colon, device = fields.get("PCI_ID", "").lower().partition(":")
    kind = fields.get("PCI_CLASS", "").zfill(6)
    driver = fields.get("DRIVER")
    display = kind.startswith(_DISPLAY_CLASS.zfill(2)) or (
        kind.startswith(_ACCELERATOR_CLASS) and vendor == "1002"
    )
    if (
        not colon
        or vendor not in VENDORS
        or not display
        or driver == _GIVEN_AWAY
        or plain_pci_id(address) is None
    ):
        return None
    return PciDevice(address, vendor, device, driver)


def read_pci(system: System, table: GpuTable, deadline: float) -> tuple[Gpu, ...]:
    """Return AMD's, Intel's and NVIDIA's devices; NVIDIA's without memory, which only its driver tells."""
    devices = list_devices(system)
    names = _bus_names(system, deadline) if devices else {}
    return tuple(_to_record(system, device, names.get(device.address, ""), table) for device in devices)


def _to_record(system: System, device: PciDevice, bus_name: str, table: GpuTable) -> Gpu:
    if device.vendor == "1002":
        return _amd(system, device, bus_name, table)
    if device.vendor == "8086":
        return _intel(system, device, bus_name, table)
    return Gpu(
        name=plain_gpu_name(bus_name) or f"NVIDIA {device.device}",
        vendor="NVIDIA",
        kind="discrete",
        driver=device.driver,
        pci_id=plain_pci_id(device.address),
    )


def _amd(system: System, device: PciDevice, bus_name: str, table: GpuTable) -> Gpu:
    folder = f"{_DEVICES}/{device.address}"

    def size(name: str) -> int | None:
        written = (system.read_text(f"{folder}/mem_info_{name}") or "").strip()
        return int(written) if written.isascii() and written.isdigit() and len(written) < 16 else None

    revision = (system.read_text(f"{folder}/revision") or "").strip().removeprefix("0x")
    product = (system.read_text(f"{folder}/product_name") or "").strip()
    listed = find_amd_name(system.read_text(_AMD_NAMES) or "", device.device, revision)
    total, used = sensible_size(size("vram_total")), size("vram_used")
    gpu = Gpu(
        name=plain_gpu_name(product or listed or bus_name) or f"AMD {device.device}",
        vendor="AMD",
        kind="integrated" if device.device in table.integrated_amd else "discrete",
        memory_total=total,
        memory_free=sensible_free(total - used, total) if total is not None and used is not None else None,
        shared_total=sensible_size(size("gtt_total")),
        driver=device.driver,
        pci_id=plain_pci_id(device.address),
    )
    return with_bandwidth(gpu, table)


def find_amd_name(ids: str, device: str, revision: str) -> str | None:
    """Return the name that libdrm's list has for a device and its revision (both hexadecimal)."""
    pattern = rf"^{re.escape(device)},\s*{re.escape(revision)},\s*(.+)$"
    found = re.search(pattern, ids, re.MULTILINE | re.IGNORECASE) if revision else None
    return found[1].strip() if found else None


def _intel(system: System, device: PciDevice, bus_name: str, table: GpuTable) -> Gpu:
    name = plain_gpu_name(bus_name) or f"Intel {device.device}"
    # a processor's own graphics is always function 0 of device 2 on the first bus
    kind: GpuKind = "integrated" if device.address.endswith(":00:02.0") else "discrete"
    memory = None
    if kind == "discrete":
        window = largest_window(system.read_text(f"{_DEVICES}/{device.address}/resource") or "")
        sizes = [row.memory for row in table.find(name) if row.memory is not None and row.memory <= window]
        memory = max(sizes, default=None)
    gpu = Gpu(name, "Intel", kind, memory, driver=device.driver, pci_id=plain_pci_id(device.address))
    return with_bandwidth(gpu, table)


def largest_window(resource: str) -> int:
    """Return the size of the largest memory window in a PCI device's `resource`.

    With a resizable window, which Intel's cards need, it is the card's memory rounded up to a power of two.
    """
    sizes = [0]
    for line in resource.splitlines():
        parts = line.split()
        if len(parts) == 3 and all(re.fullmatch(r"0x[0-9a-fA-F]{1,16}", part) for part in parts):
            first, last = int(parts[0], 16), int(parts[1], 16)
            sizes.append(last - first + 1 if last > first else 0)
    return max(sizes)


def _bus_names(system: System, deadline: float) -> dict[str, str]:
    tool = system.find_tool("lspci")
    if tool is None:
        return {}
    try:
        return parse_lspci(system.run([tool, "-Dmmnn"], deadline))
    except ToolFailed as error:
        _log.info("No names of PCI devices: %s", error)
        return {}


def parse_lspci(output: str) -> dict[str, str]:
    """Return the device names by address from `lspci -Dmmnn`: the name in brackets where there is one."""
    names: dict[str, str] = {}
    for line in output.splitlines():
        address, _, rest = line.partition(" ")
        quoted = re.findall(r'"([^"]*)"', rest)
        if len(quoted) < 3 or plain_pci_id(address) is None:
            continue
        name = re.sub(r"\s*\[[0-9a-f]{4}\]$", "", quoted[2])
        bracketed = re.search(r"\[(.+)\]$", name)
        names[address] = bracketed[1] if bracketed else name
    return names
