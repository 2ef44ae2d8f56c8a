"""llama.cpp's parameters that only a bench sets, as llama-bench does (llama.cpp 0c1e570)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import psutil

from localllm.engine.benches import DEVICES_CHOSEN_BY_ENGINE, PRIORITIES
from localllm.engine.child.native import ggml_function, llama
from localllm.engine.child.tensor_places import experts_in_memory, placement_table
from localllm.errors import EngineError
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.engine.benches import BenchSettings

_SPLIT_MODES = {"none": 0, "layer": 1, "row": 2, "tensor": 3}
_LAZY_MODES = {"off": 0, "auto": 1, "on": 2}
_NUMA = {"distribute": 1, "isolate": 2, "numactl": 3}
_WINDOWS_CLASSES = {-1: 0x4000, 1: 0x8000, 2: 0x80, 3: 0x100}  # below normal, above normal, high, real time


class BenchParameters:
    """Sets them; must stay referenced as long as the model, for it owns the tables that they point to.

    Raises:
        EngineError: There is no such buffer or device here, or too many GPUs are named.
    """

    def __init__(self, settings: BenchSettings) -> None:
        self._settings = settings
        pairs = [_pair(one) for one in settings.overrides]
        pairs += experts_in_memory(settings.experts_layers_on_cpu)
        self._places = placement_table(pairs)
        self._devices = _devices(settings.devices)
        most = llama.llama_max_devices()
        if len(settings.tensor_split) > most:
            raise EngineError(text("The engine knows {most} GPUs at most.", most=most))
        self._shares = (ctypes.c_float * most)(*settings.tensor_split)

    def set_weights(self, parameters: Any) -> None:
        """Say how weights are read and placed."""
        settings = self._settings
        parameters.load_mode = llama.llama_load_mode_from_str(settings.load_mode.encode())
        parameters.lazy_mode = _LAZY_MODES[settings.lazy_mode]
        parameters.split_mode = _SPLIT_MODES[settings.split_mode]
        parameters.main_gpu = settings.main_gpu
        parameters.tensor_split = self._shares
        parameters.tensor_buft_overrides = ctypes.cast(self._places, ctypes.c_void_p)
        parameters.no_host = settings.no_host
        if self._devices is not None:
            parameters.devices = ctypes.cast(self._devices, ctypes.c_void_p)

    def set_context(self, parameters: Any) -> None:
        """Say how it is computed."""
        settings = self._settings
        parameters.offload_kqv = not settings.no_kv_offload
        parameters.op_offload = not settings.no_op_offload
        parameters.embeddings = settings.embeddings
        if settings.embeddings:
            parameters.n_outputs_max = 0  # every token has one then
        if settings.require_flash_attention:
            parameters.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_ENABLED

    def set_process(self) -> None:
        """Take the priority and the way with memory controllers that are asked for.

        Raises:
            EngineError: The system does not allow that priority.
        """
        if self._settings.numa:
            llama.llama_numa_init(_NUMA[self._settings.numa])
        if not self._settings.priority:
            return
        wanted = self._settings.priority
        try:
            psutil.Process().nice(_WINDOWS_CLASSES[wanted] if psutil.WINDOWS else PRIORITIES[wanted])
        except (psutil.Error, OSError) as error:
            raise EngineError(
                text("The system does not allow the priority {priority}.", priority=wanted),
                hint=text("Take 0 or -1, or ask the administrator."),
            ) from error


def _pair(words: str) -> tuple[str, str]:
    pattern, _, buffer = words.rpartition("=")
    return pattern, buffer


def _devices(names: str) -> Any:
    """Return llama.cpp's list; None leaves the choice to the engine."""
    if names == DEVICES_CHOSEN_BY_ENGINE:
        return None
    by_name = ggml_function("ggml_backend_dev_by_name", ctypes.c_void_p, ctypes.c_char_p)
    found: list[int] = []
    for name in () if names == "none" else names.split("/"):
        device = by_name(name.encode())
        if not device or name == "CPU":
            raise EngineError(text("The engine has no graphics device “{name}” here.", name=name))
        found.append(device)
    return (ctypes.c_void_p * (len(found) + 1))(*found)
