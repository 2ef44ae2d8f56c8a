"""How far long work is, and whether it should stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from localllm.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.texts import Text


class Progress:
    """Handed to every long core function: it reports, and raises `Cancelled` when asked to stop.

    The listener gets (done, total, note); total 0 means unknown. It is called in the worker's thread.
    """

    def __init__(self, listener: Callable[[float, float, Text | None], None] | None = None) -> None:
        self._listener = listener
        self._stop = threading.Event()

    def update(self, done: float, total: float = 0, note: Text | None = None) -> None:
        """Say how far it is.

        Raises:
            Cancelled: Somebody called `cancel`.
        """
        self.raise_if_cancelled()
        if self._listener:
            self._listener(done, total, note)

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if somebody called `cancel`."""
        if self._stop.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """Ask the work to stop; may be called from any thread."""
        self._stop.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody called `cancel`."""
        return self._stop.is_set()
