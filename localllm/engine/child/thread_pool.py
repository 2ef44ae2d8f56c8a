"""A pool of threads that computes for a context, as llama-bench gives it one.

Without one ggml makes a pool for each graph, which on builds without OpenMP starts threads for each token.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from localllm.engine.child.native import ggml_function, llama

if TYPE_CHECKING:
    from localllm.engine.benches import BenchSettings

MOST_THREADS = 512  # GGML_MAX_N_THREADS, of processors too
_CPU = 0  # GGML_BACKEND_DEVICE_TYPE_CPU


class _Parameters(ctypes.Structure):
    """ggml_threadpool_params of ggml 0.25."""

    _fields_ = (
        ("cpu_mask", ctypes.c_bool * MOST_THREADS),
        ("threads", ctypes.c_int),
        ("priority", ctypes.c_int),
        ("poll", ctypes.c_uint32),
        ("strict_cpu", ctypes.c_bool),
        ("paused", ctypes.c_bool),
    )


class ThreadPool:
    """The threads that settings ask for; `close` ends them, after the context is freed."""

    def __init__(self, settings: BenchSettings, context: Any) -> None:
        mask = int(settings.cpu_mask, 16)
        parameters = _Parameters(
            cpu_mask=tuple(bool(mask >> cpu & 1) for cpu in range(MOST_THREADS)),
            threads=settings.threads,
            priority=settings.priority,
            poll=settings.poll,
            strict_cpu=settings.cpu_strict,
        )
        self._pool = _cpu_function("ggml_threadpool_new", ctypes.c_void_p, ctypes.c_void_p)(
            ctypes.byref(parameters)
        )
        if self._pool:
            attach = llama._lib.llama_attach_threadpool  # noqa: SLF001 - the binding leaves it out
            attach.argtypes, attach.restype = [ctypes.c_void_p] * 3, None
            attach(context, self._pool, None)

    def close(self) -> None:
        """End the threads."""
        if self._pool:
            _cpu_function("ggml_threadpool_free", None, ctypes.c_void_p)(self._pool)


def _cpu_function(name: str, result: Any, *arguments: Any) -> Any:
    """Return a function of the CPU backend, whose library is loaded as the processor needs it."""
    device = ggml_function("ggml_backend_dev_by_type", ctypes.c_void_p, ctypes.c_int)(_CPU)
    registry = ggml_function("ggml_backend_dev_backend_reg", ctypes.c_void_p, ctypes.c_void_p)(device)
    find = ggml_function(
        "ggml_backend_reg_get_proc_address", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p
    )
    address = find(registry, name.encode())
    return ctypes.CFUNCTYPE(result, *arguments)(address)
