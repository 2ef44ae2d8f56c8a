"""One measurement of speed at a time on this computer, whichever program makes it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from localllm.errors import MachineBusy
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Generator

    from localllm.paths import Paths


@contextlib.contextmanager
def measuring_alone(paths: Paths) -> Generator[None]:
    """Hold the right to measure; a program that ends loses it.

    Raises:
        MachineBusy: Somebody else has it.
    """
    paths.data.mkdir(parents=True, exist_ok=True)
    lock = FileLock(paths.data / "measuring.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        message = text("Another measurement is running on this computer.")
        raise MachineBusy(message, hint=text("Try again when it is done.")) from None
    try:
        yield
    finally:
        lock.release()
