"""Reads the running system: the only code of this package that touches files, tools and drivers."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from localllm.core.hardware.nvml import take_snapshot
from localllm.core.hardware.sources import MemoryNumbers, ToolFailed
from localllm.processes import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.core.hardware.sources import NvmlSnapshot

MAX_OUTPUT = 1 << 20  # bytes of a tool's output or of a file that are read


class RunningSystem:
    """The system this process runs on."""

    def __init__(self) -> None:
        self.platform = sys.platform
        self.architecture = platform.machine()
        self.release = platform.mac_ver()[0] if sys.platform == "darwin" else platform.release()
        if sys.platform == "win32":
            self.release = platform.version()

    def read_text(self, path: str) -> str | None:
        """Return a file's text, None if it cannot be read."""
        try:
            with Path(path).open("rb") as file:
                return file.read(MAX_OUTPUT).decode("utf-8", "replace")
        except (OSError, ValueError):
            return None

    def list_folder(self, path: str) -> list[str]:
        """Return the sorted names in a folder, none if it cannot be read."""
        try:
            return sorted(entry.name for entry in Path(path).iterdir())
        except OSError:
            return []

    def find_tool(self, name: str) -> str | None:
        """Return the path of a program."""
        return shutil.which(name)

    def run(self, command: Sequence[str], deadline: float) -> str:
        """Return a tool's standard output; the tool and its children are ended at the deadline."""
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment({"LC_ALL": "C"}),
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise ToolFailed(f"{command[0]}: {error}") from error
        return _collect(process, command[0], deadline)

    def nvml(self) -> NvmlSnapshot:
        """Ask NVIDIA's management library."""
        return take_snapshot()

    def affinity(self) -> frozenset[int] | None:
        """Return the processors this process may run on."""
        if sys.platform == "linux":
            return frozenset(os.sched_getaffinity(0))
        return None

    def memory(self) -> MemoryNumbers:
        """Return main memory as psutil sees it."""
        import psutil

        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return MemoryNumbers(memory.total, memory.available, swap.total, swap.free)

    def core_counts(self) -> tuple[int, int]:
        """Return physical and logical cores as psutil sees them."""
        import psutil

        logical = psutil.cpu_count() or 1
        return psutil.cpu_count(logical=False) or logical, logical

    def processor_features(self) -> frozenset[int]:
        """Return what Windows' IsProcessorFeaturePresent confirms."""
        if sys.platform != "win32":
            return frozenset()
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return frozenset(number for number in range(64) if present(number))

    def registry(self, key: str) -> list[Mapping[str, str | int]]:
        """Return the values of a Windows registry key and of its numbered children."""
        if sys.platform != "win32":
            return []
        from localllm.core.hardware.registry import read_key

        return read_key(key)

    def disk(self, path: str) -> tuple[int, int] | None:
        """Return total and free bytes of the file system that holds a path."""
        try:
            usage = shutil.disk_usage(path)
        except FileNotFoundError:
            return None
        return usage.total, usage.free


def _collect(process: subprocess.Popen[bytes], name: str, deadline: float) -> str:
    slow = threading.Event()

    def give_up() -> None:
        slow.set()
        _kill(process)

    timer = threading.Timer(deadline, give_up)
    timer.daemon = True
    timer.start()
    with cast("IO[bytes]", process.stdout) as stream:
        output = stream.read(MAX_OUTPUT + 1)
    if len(output) > MAX_OUTPUT:
        _kill(process)
    code = process.wait()
    timer.cancel()
    if slow.is_set():
        raise ToolFailed(f"{name}: no answer in {deadline:g} s", slow=True)
    if len(output) > MAX_OUTPUT:
        raise ToolFailed(f"{name}: more than {MAX_OUTPUT} bytes of output")
    if code != 0 and not output:
        raise ToolFailed(f"{name}: ended with code {code}")
    return output.decode("utf-8", "replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
