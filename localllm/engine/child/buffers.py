"""What llama.cpp's buffers of a model and a context take on each device, allocated or in a dry run.

llama.cpp's own table per buffer type has no C function. On Linux the C++ one is called
(llama_get_memory_breakdown, a std::map of libstdc++ by value); elsewhere llama.cpp's log is read, which
gives the same totals but not where the weights are.
"""

from __future__ import annotations

import ctypes
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from localllm.engine.child.native import ggml_function, list_devices, llama
from localllm.engine.protocol import DeviceBuffers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.engine.child.native import NativeLog

HOST = "CPU"
_BREAKDOWN = "_Z26llama_get_memory_breakdownPK13llama_context"
_MIB = 2**20
_FLOAT_BYTES = 4


def read_buffers(
    model: Any, context: Any, log: NativeLog, *, embeddings: bool = False
) -> tuple[DeviceBuffers, ...]:
    """Return bytes per device, main memory first; `log` holds what was said since the context was made."""
    gpus = [device["name"] for device in list_devices() if device["kind"] in ("gpu", "igpu")]
    found = {name: [0, 0, 0, 0] for name in (HOST, *gpus)}
    table = _breakdown_function()
    if table is not None:
        for name, parts in _walk(table, context):
            for place, size in enumerate(parts):
                found[_device_of(name, gpus)][place] += size
    else:
        _read_log(found, gpus, model, log)
    found[HOST][3] = _output(model, context, embeddings=embeddings)
    return tuple(DeviceBuffers(name, *sizes) for name, sizes in found.items())


def _output(model: Any, context: Any, *, embeddings: bool) -> int:
    """Return the bytes of the output buffer, which the table leaves out (llama-context.cpp, output_reserve).

    One row of logits for each sequence; with embeddings a row of both for every token of a batch.
    """
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    if embeddings:
        rows = min(llama.llama_n_batch(context), llama.llama_n_ctx(context))
        return _FLOAT_BYTES * rows * (vocabulary + llama.llama_model_n_embd(model))
    return _FLOAT_BYTES * llama.llama_n_seq_max(context) * vocabulary


def own_weights(context: Any) -> int | None:
    """Return the bytes of weights in memory of this process rather than in the mapped file."""
    table = _breakdown_function()
    if table is None:
        return None
    gpus = [device["name"] for device in list_devices() if device["kind"] in ("gpu", "igpu")]
    return sum(
        parts[0]
        for name, parts in _walk(table, context)
        if _device_of(name, gpus) == HOST and not name.endswith(("_Mapped", "_Host"))
    )


def _device_of(buffer: str, gpus: list[str]) -> str:
    """Return the device of a buffer type; "CUDA_Host" and its like are main memory."""
    return next((name for name in gpus if buffer == name or buffer.startswith(f"{name}_")), HOST)


def _read_log(found: dict[str, list[int]], gpus: list[str], model: Any, log: NativeLog) -> None:
    """Read the sizes from the log: all of one kind on the first device that takes part."""
    place = gpus[0] if gpus and _logged(log, rf"{re.escape(gpus[0])} compute buffer size") else HOST
    found[place][0] = llama.llama_model_size(model)
    found[place][1] = _logged(log, r"llama_kv_cache: size") + _logged(log, r"llama_memory_recurrent: size")
    for name, sizes in found.items():
        sizes[2] = _logged(log, rf"{re.escape(name)} compute buffer size")


def _logged(log: NativeLog, label: str) -> int:
    return round(sum(float(size) for size in re.findall(label + r"\s*=\s*([\d.]+) MiB", log.text())) * _MIB)


class _Node(ctypes.Structure):
    """A node of libstdc++'s red-black tree: std::pair<buffer type, {model, context, compute}>."""


_Node._fields_ = [
    ("color", ctypes.c_int),
    ("parent", ctypes.POINTER(_Node)),
    ("left", ctypes.POINTER(_Node)),
    ("right", ctypes.POINTER(_Node)),
    ("buffer_type", ctypes.c_void_p),
    ("model", ctypes.c_size_t),
    ("context", ctypes.c_size_t),
    ("compute", ctypes.c_size_t),
]


class _Map(ctypes.Structure):
    _fields_ = (
        ("compare", ctypes.c_size_t),
        ("color", ctypes.c_int),
        ("root", ctypes.POINTER(_Node)),
        ("leftmost", ctypes.c_void_p),
        ("rightmost", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
    )


@cache
def _breakdown_function() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = llama._lib[_BREAKDOWN]  # noqa: SLF001 - the binding's handle on libllama
    except (AttributeError, OSError):
        return None
    function.argtypes, function.restype = [ctypes.POINTER(_Map), ctypes.c_void_p], ctypes.c_void_p
    return function


def _walk(function: Any, context: Any) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield each buffer type's name and sizes; the map's few hundred bytes are not freed."""
    name_of = ggml_function("ggml_backend_buft_name", ctypes.c_char_p, ctypes.c_void_p)
    table = _Map()
    function(ctypes.byref(table), context)
    waiting = [table.root]
    while waiting:
        pointer = waiting.pop()
        if pointer:
            node = pointer.contents
            waiting += [node.left, node.right]
            yield name_of(node.buffer_type).decode(), (node.model, node.context, node.compute)
