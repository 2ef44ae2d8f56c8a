"""Which tensors of a model go into which kind of buffer, as llama.cpp is told it."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from localllm.engine.child.native import ggml_function
from localllm.engine.experts import experts_pattern
from localllm.errors import EngineError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Override(ctypes.Structure):
    """llama_model_tensor_buft_override: tensors whose name matches go into this kind of buffer."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def experts_in_memory(layers: int) -> list[tuple[str, str]]:
    """Return the pairs that keep the experts of the first layers in main memory (llama.cpp's --n-cpu-moe)."""
    return [(experts_pattern(layers), "CPU")] if layers > 0 else []


def placement_table(pairs: Iterable[tuple[str, str]]) -> Any:
    """Return llama.cpp's table of pairs: a pattern of tensors' names and the name of a kind of buffer.

    Raises:
        EngineError: There is no such buffer here.
    """
    known = _buffer_types()
    rows: list[_Override] = []
    for pattern, buffer in pairs:
        if buffer not in known:
            raise EngineError(
                text("The engine has no buffer “{name}” here.", name=buffer),
                hint=text("It has {names}.", names=", ".join(known)),
            )
        rows.append(_Override(pattern.encode(), known[buffer]))
    return (_Override * (len(rows) + 1))(*rows)


def _buffer_types() -> dict[str, int]:
    count = ggml_function("ggml_backend_dev_count", ctypes.c_size_t)
    get = ggml_function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    buffer_type = ggml_function("ggml_backend_dev_buffer_type", ctypes.c_void_p, ctypes.c_void_p)
    name = ggml_function("ggml_backend_buft_name", ctypes.c_char_p, ctypes.c_void_p)
    types = [buffer_type(get(index)) for index in range(count())]
    return {name(one).decode(): one for one in types if one}
