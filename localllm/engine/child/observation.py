"""Looks at the tensors of llama.cpp's graph while it is computed, through its evaluation callback.

The binding leaves `struct ggml_tensor` out; it is described here as in ggml 0.25 and checked when an observer
is made. A node lives as long as the callback runs.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from localllm.engine.child.native import ggml_function, llama
from localllm.errors import EngineError
from localllm.texts import text

if TYPE_CHECKING:
    from numpy.typing import NDArray

F32, I32 = 0, 26  # ggml_type
_DTYPES = {F32: np.dtype(np.float32), I32: np.dtype(np.int32)}
_OBJECT_BYTES = 32  # of struct ggml_object, which ggml_tensor_overhead counts too
_MOST_OPERATIONS = 64  # those that are asked for come early in the list


class Node(ctypes.Structure):
    """One tensor of the graph: `ne` elements and `nb` bytes from one to the next, fastest dimension first."""

    _fields_: ClassVar[Any] = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("raw_name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )

    @property
    def name(self) -> str:
        """Its name without what the scheduler puts around that of a copy: "CUDA0#blk.0.attn_k.weight#0"."""
        parts = self.raw_name.decode("utf-8", "replace").split("#")
        return parts[1] if len(parts) > 1 else parts[0]

    def source(self, number: int) -> Node | None:
        """Return one of the tensors that it is computed from."""
        address = self.src[number]
        return Node.from_address(address) if address else None

    def values(self) -> NDArray[Any]:
        """Return its numbers, slowest dimension first; in main memory a view that holds for this call only.

        Raises:
            EngineError: It has another type than F32 or I32.
        """
        dtype = _DTYPES.get(self.type)
        if dtype is None:
            raise EngineError(text("The engine computes with numbers of a kind that cannot be looked at."))
        size = _buffer_function("ggml_nbytes", ctypes.c_size_t)(ctypes.addressof(self))
        if self.buffer and _buffer_function("ggml_backend_buffer_is_host", ctypes.c_bool)(self.buffer):
            content: Any = (ctypes.c_char * size).from_address(self.data or 0)
        else:
            content = ctypes.create_string_buffer(size)
            read = ggml_function(
                "ggml_backend_tensor_get", None, *[ctypes.c_void_p] * 2, *[ctypes.c_size_t] * 2
            )
            read(ctypes.addressof(self), content, 0, size)
        return np.ndarray(tuple(self.ne[::-1]), dtype, content, strides=tuple(self.nb[::-1]))


class Observer(Protocol):
    """Asked about every node of a graph in turn."""

    def wants(self, node: Node) -> bool:
        """Say whether this node is to be seen once it is computed."""
        ...

    def sees(self, node: Node) -> bool:
        """Look at a node that was just computed; False: the rest of the graph need not be."""
        ...


class Watch:
    """An observer in the form that llama.cpp calls; keep it as long as the context.

    What the observer raises is kept, for an exception cannot pass through llama.cpp: ask `check` after each
    decode.
    """

    def __init__(self, observer: Observer) -> None:
        overhead = ggml_function("ggml_tensor_overhead", ctypes.c_size_t)()
        if overhead != ctypes.sizeof(Node) + _OBJECT_BYTES:
            raise EngineError(
                text("This engine's computation cannot be observed: it is of another version."),
                detail=f"ggml_tensor_overhead {overhead}",
            )
        self._observer = observer
        self._error: BaseException | None = None
        self.callback = llama.ggml_backend_sched_eval_callback(self._on_node)

    def _on_node(self, address: int, ask: bool, _data: object) -> bool:  # noqa: FBT001 - C signature
        try:
            node = Node.from_address(address)
            if ask:
                return self._error is None and self._observer.wants(node)
            return self._observer.sees(node)
        except BaseException as error:  # noqa: BLE001 - raised again by `check`
            self._error = error
            return False

    def check(self) -> None:
        """Raise what the observer raised."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error


@cache
def operation(name: str) -> int:
    """Return ggml's number of an operation: "MUL_MAT"."""
    name_of = ggml_function("ggml_op_name", ctypes.c_char_p, ctypes.c_int)
    for number in range(_MOST_OPERATIONS):
        if name_of(number) == name.encode():
            return number
    raise EngineError(text("This engine's computation cannot be observed: it is of another version."))


@cache
def _buffer_function(name: str, result: Any) -> Any:
    return ggml_function(name, result, ctypes.c_void_p)
