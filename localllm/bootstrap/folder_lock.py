"""One set-up at a time in one folder."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class FolderLock:
    """Holds the lock file; the system frees it with the last process that has it open, so it is never stale.

    pip gets the descriptor too: when set-up is killed, the next one waits until its pip has gone as well.
    """

    def __init__(self, file: Path, on_wait: Callable[[float], None]) -> None:
        self._file = file
        self._on_wait = on_wait
        self.descriptor = -1

    def __enter__(self) -> FolderLock:
        """Wait for the lock; `on_wait` is called with the seconds waited, twice a second."""
        self.descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        began = time.monotonic()
        try:
            while not _try_lock(self.descriptor):
                self._on_wait(time.monotonic() - began)
                time.sleep(0.5)
        except BaseException:
            os.close(self.descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free it."""
        os.close(self.descriptor)
