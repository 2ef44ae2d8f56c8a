"""llama.cpp's libraries: loading, their log, and the devices they can compute on.

Imported first in the child: libllama must come before numpy or anything else that brings its own libstdc++.
"""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.engine.child.binding import llama  # isort: split

from localllm.engine.child.backends import Backends, load_backends
from localllm.engine.version import engine_version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_DEBUG, _ERROR = 1, 4
_DEVICE_KINDS = {0: "cpu", 1: "gpu", 2: "igpu", 3: "accel"}


class NativeLog:
    """Keeps llama.cpp's last log lines: the only place where it says why it refused.

    The callback must stay referenced as long as the library may log: a collected one is a segmentation fault.
    """

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=200)
        self.listener: Callable[[str], None] | None = None  # gets every fragment of a line as it is said
        self._callback = llama.llama_log_callback(self._on_log)
        llama.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _on_log(self, level: int, line: bytes, _user_data: object) -> None:
        if level != _DEBUG and line:
            fragment = line.decode("utf-8", "replace")
            self._lines.append((level, fragment.strip()))
            if self.listener is not None:
                self.listener(fragment)

    def clear(self) -> None:
        """Forget what was said before."""
        self._lines.clear()

    def text(self) -> str:
        """Return everything that was said since the last `clear`."""
        return "\n".join(line for _, line in self._lines)

    def errors(self) -> list[str]:
        """Return the error lines since the last `clear`."""
        return [line for level, line in self._lines if level == _ERROR and line]


def start_backends(without: Collection[str] = ()) -> Backends:
    """Register what the build can compute on; with CUDA this makes a context of half a GiB."""
    loaded = load_backends(_folder(), ggml_function, without)
    llama.llama_backend_init()
    return loaded


def version() -> str:
    """Return the version of the Python binding, which pins llama.cpp's."""
    return engine_version()


def system_info() -> str:
    """Return llama.cpp's line on instruction sets and backends."""
    return llama.llama_print_system_info().decode()


def commit() -> str:
    """Return the short commit of llama.cpp that the libraries were built from, as the build knew it."""
    return ggml_function("ggml_commit", ctypes.c_char_p)().decode()


def backends() -> str:
    """Return the backends besides the CPU's as llama-bench names them: "CUDA,BLAS", "CPU" for none."""
    count = ggml_function("ggml_backend_reg_count", ctypes.c_size_t)
    get = ggml_function("ggml_backend_reg_get", ctypes.c_void_p, ctypes.c_size_t)
    name = ggml_function("ggml_backend_reg_name", ctypes.c_char_p, ctypes.c_void_p)
    names = [name(get(index)).decode() for index in range(count())]
    return ",".join(found for found in names if found not in ("CPU", "RPC")) or "CPU"


def list_devices() -> list[dict[str, Any]]:
    """Return ggml's own device list: name, kind, memory in bytes, PCI id where it has one."""
    count = ggml_function("ggml_backend_dev_count", ctypes.c_size_t)
    get = ggml_function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    describe = ggml_function(
        "ggml_backend_dev_get_props", None, ctypes.c_void_p, ctypes.POINTER(_DeviceProperties)
    )
    devices: list[dict[str, Any]] = []
    for index in range(count()):
        properties = _DeviceProperties()
        describe(get(index), ctypes.byref(properties))
        devices.append(
            {
                "name": properties.name.decode(),
                "description": properties.description.decode("utf-8", "replace"),
                "kind": _DEVICE_KINDS.get(properties.kind, "accel"),
                "memory_total": properties.memory_total,
                "memory_free": properties.memory_free,
                "pci_id": properties.device_id.decode() if properties.device_id else None,
            }
        )
    return devices


class _DeviceProperties(ctypes.Structure):
    """ggml_backend_dev_props of ggml 0.25; what it can do follows as a few booleans."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("kind", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("capabilities", ctypes.c_bool * 32),
    )


def ggml_function(name: str, result: Any, *arguments: Any) -> Any:
    """Return a ggml function that the Python binding leaves out."""
    for library in _libraries():
        try:
            function = getattr(library, name)
        except AttributeError:
            continue
        function.restype, function.argtypes = result, list(arguments)
        return function
    raise OSError(f"the engine's libraries lack {name}")


def _libraries() -> list[ctypes.CDLL]:
    """Return the libraries that this process computes with, never a second copy of one.

    libllama's handle finds also what the libraries below it have, but on Windows.
    """
    if sys.platform != "win32":
        return [llama._lib]  # noqa: SLF001 - the binding's handle of libllama
    return [ctypes.CDLL(str(_folder() / name)) for name in ("ggml.dll", "ggml-base.dll")]


def _folder() -> Path:
    return Path(llama._base_path)  # noqa: SLF001 - where the binding found libllama
