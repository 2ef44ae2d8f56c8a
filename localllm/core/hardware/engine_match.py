"""Says of each graphics processor whether the engine can compute on it, and what would help if it cannot."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.core.hardware.gpu_table import split_name
from localllm.core.hardware.graphics import plain_pci_id
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.machine import EngineBuild, EngineDevice, Gpu, Machine

_VENDOR_BY_BACKEND = {
    "cuda": "NVIDIA",
    "rocm": "AMD",
    "hip": "AMD",
    "metal": "Apple",
    "mtl": "Apple",
    "sycl": "Intel",
}
_BACKENDS = {  # those that can use a vendor's cards, as the engine's own lists spell them
    "NVIDIA": ("cuda", "vulkan"),
    "AMD": ("rocm", "hip", "vulkan"),
    "Intel": ("sycl", "vulkan"),
    "Apple": ("metal", "mtl"),
}

_MISSING_BACKEND = {
    "NVIDIA": text("The engine was built without CUDA: install it again with CUDA to use this card."),
    "AMD": text("The engine was built without ROCm and Vulkan: install it again with one of them."),
    "Intel": text("The engine was built without Vulkan and SYCL: install it again with one of them."),
    "Apple": text("The engine was built without Metal: install it again with Metal."),
}


def with_engine(machine: Machine, build: EngineBuild) -> Machine:
    """Return the machine with `usable` and `remedy` of every graphics processor set for this engine build."""
    devices = [device for device in build.devices if device.kind in {"gpu", "igpu"}]
    used = _match(machine.gpus, devices)
    gpus = tuple(
        replace(gpu, usable=index in used, remedy=None if index in used else str(find_remedy(gpu, build)))
        for index, gpu in enumerate(machine.gpus)
    )
    return replace(machine, gpus=gpus, engine=build)


def _match(gpus: Sequence[Gpu], devices: Sequence[EngineDevice]) -> frozenset[int]:
    """Return the places of the processors that are among the engine's devices.

    A device stands for one processor: of two equal cards, one is not usable if the engine lists only one.
    Two backends may list the same card, so each backend is matched by itself.
    """
    used: set[int] = set()
    for backend in {_backend(device) for device in devices}:
        left = dict(enumerate(gpus))
        waiting = [device for device in devices if _backend(device) == backend]
        for same in (_same_address, _same_name, _same_vendor):
            waiting = [device for device in waiting if not _take(device, left, same)]
        used |= set(range(len(gpus))) - set(left)
    return frozenset(used)


def _take(device: EngineDevice, left: dict[int, Gpu], same: Callable[[EngineDevice, Gpu], bool]) -> bool:
    for index, gpu in left.items():
        if same(device, gpu):
            del left[index]
            return True
    return False


def _backend(device: EngineDevice) -> str:
    return device.name.rstrip("0123456789").lower()


def _same_address(device: EngineDevice, gpu: Gpu) -> bool:
    address = plain_pci_id(device.pci_id)
    return address is not None and address == plain_pci_id(gpu.pci_id)


def _same_name(device: EngineDevice, gpu: Gpu) -> bool:
    if _addresses_differ(device, gpu):
        return False
    described = re.sub(r"\([^)]*\)$", "", device.description)  # Vulkan adds the driver: "… (RADV NAVI31)"
    return split_name(described)[0] == split_name(gpu.name)[0] and _may_be_of(device, gpu.vendor)


def _same_vendor(device: EngineDevice, gpu: Gpu) -> bool:
    if _addresses_differ(device, gpu):
        return False
    if _VENDOR_BY_BACKEND.get(_backend(device)) == gpu.vendor:
        return True
    return gpu.vendor.lower() in device.description.lower() and (device.kind == "igpu") == (
        gpu.kind != "discrete"
    )


def _addresses_differ(device: EngineDevice, gpu: Gpu) -> bool:
    ours, theirs = plain_pci_id(gpu.pci_id), plain_pci_id(device.pci_id)
    return ours is not None and theirs is not None and ours != theirs


def _may_be_of(device: EngineDevice, vendor: str) -> bool:
    return _VENDOR_BY_BACKEND.get(_backend(device), vendor) == vendor


def find_remedy(gpu: Gpu, build: EngineBuild) -> Text:
    """Return what would make the engine use a processor that is not among its devices."""
    names = (device.name for device in build.devices)
    known = " ".join((build.system_info, *names, *build.parts, *build.unused)).lower()
    built_for_it = any(re.search(rf"\b{backend}\d*\b", known) for backend in _BACKENDS.get(gpu.vendor, ()))
    if built_for_it and build.failing:
        return text(
            "The engine crashes or hangs with this card's driver, which is left out: update it, or let it be "
            "tried again under Diagnostics (“localllm diagnostics --reset driver”)."
        )
    if gpu.vendor == "NVIDIA" and gpu.driver in {None, "nouveau", "nvidia"} and gpu.memory_total is None:
        if "vulkan" in build.unused:
            return text("NVIDIA's own driver is missing or does not work: install it, then start again.")
        return text("NVIDIA's own driver is missing or does not work: install it, then the engine with CUDA.")
    if built_for_it:
        return text("The engine could use this card but does not see it: update its driver, then try again.")
    return _MISSING_BACKEND.get(gpu.vendor, text("The engine has no support for this card."))
