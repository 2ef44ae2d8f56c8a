"""One set-up at a time in one folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class FolderLock:
    """Holds the lock file; the system frees it with the last process that has it open, so it is never stale.

    pip gets the descriptor too, so a set-up that was killed holds the lock until its pip is gone; the next
    one ends that pip.
    """

    def __init__(self, file: Path, on_wait: Callable[[float], None]) -> None:
        self._file = file
        self._on_wait = on_wait
        self.descriptor = -1

    def __enter__(self) -> FolderLock:
        """Wait for the lock; `on_wait` is called twice a second with the seconds waited, from 0 on."""
        self.descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        began = time.monotonic()
        waited = 0.0
        try:
            while not _try_lock(self.descriptor):
                self._on_wait(waited)
                _end_orphan(self._file)
                time.sleep(0.5)
                waited = time.monotonic() - began
        except BaseException:
            os.close(self.descriptor)
            raise
        self._write("")  # a set-up that was killed left its names, and their numbers go to others in time
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free it."""
        self._write("")
        os.close(self.descriptor)

    def name_child(self, pid: int) -> None:
        """Write down the process group that works for us, for the case that we are killed."""
        self._write(f"{os.getpid()} {pid} {start_of(pid)}")

    def _write(self, names: str) -> None:
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.write(self.descriptor, names.encode())


def start_of(pid: int) -> str:
    """Return when this process began, which tells it from a later one of that number; empty if unknown."""
    try:
        if sys.platform == "linux":
            status = Path(f"/proc/{pid}/stat").read_bytes()
            return status.rpartition(b")")[2].split()[19].decode()  # in clock ticks since the system began
        return subprocess.run(
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
            env={"LC_ALL": "C", "TZ": "UTC0"},
            capture_output=True,
            encoding="ascii",
            check=False,
        ).stdout.strip()
    except (OSError, IndexError):
        return ""


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # past what is written: locked bytes cannot be read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _end_orphan(file: Path) -> None:
    """End a pip that holds the lock although the set-up it worked for is gone; on Windows it holds none."""
    if sys.platform == "win32":
        return
    try:
        owner, child, start = file.read_text(encoding="ascii").split(maxsplit=2)
        if _is_alive(int(owner)) or start_of(int(child)) != start:
            return
    except (ValueError, OSError):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(int(child), signal.SIGTERM)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
