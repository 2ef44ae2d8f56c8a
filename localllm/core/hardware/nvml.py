"""Asks NVIDIA's management library what cards there are and what is free on them."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

from localllm.core.hardware.sources import NvmlGpu, NvmlSnapshot, ToolFailed

if TYPE_CHECKING:
    from collections.abc import Callable


def take_snapshot() -> NvmlSnapshot:
    """Return every card, with its memory as it is now.

    Raises:
        ToolFailed: There is no library, no driver, or they do not match; the text is NVIDIA's own.
    """
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise ToolFailed(str(error)) from error
    try:
        count = nvml.nvmlDeviceGetCount()
        cards = tuple(_read_card(nvml, nvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count))
        return NvmlSnapshot(str(nvml.nvmlSystemGetDriverVersion()), cards)
    except nvml.NVMLError as error:
        raise ToolFailed(str(error)) from error
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _read_card(nvml: Any, handle: Any) -> NvmlGpu:
    def ask(question: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return question(handle, *arguments)
        except nvml.NVMLError:
            return None

    memory: Any = ask(nvml.nvmlDeviceGetMemoryInfo)
    return NvmlGpu(
        name=str(nvml.nvmlDeviceGetName(handle)),
        bus_id=str(nvml.nvmlDeviceGetPciInfo(handle).busId),
        memory_total=memory.total if memory else None,
        memory_free=memory.free if memory else None,
        bus_width=ask(nvml.nvmlDeviceGetMemoryBusWidth),
        memory_clock=ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_MEM),
    )
