"""Turns the system's orders to end (logout, shutdown, Ctrl+C) into an orderly close of the window."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QSocketNotifier, Signal

if TYPE_CHECKING:
    from types import FrameType

_ORDERS = ("SIGTERM", "SIGHUP", "SIGINT")


class OrderlyEnd(QObject):
    """Listens from `install` to `remove`.

    Python's own handlers run only when Python does, and Qt's loop may sleep: the socket wakes it.

    Signals:
        asked: The program is to end now; a second order ends it at once.
    """

    asked = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._notifier = QSocketNotifier(self._reader.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._on_woken)
        self._ordered = False

    def install(self) -> None:
        """Take the orders; in a thread that may not, leave them as they are."""
        with contextlib.suppress(ValueError):  # not the main thread, in a test
            for name in _ORDERS:
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), self._on_order)
            signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def remove(self) -> None:
        """Give the orders back to the system."""
        self._notifier.setEnabled(False)
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
            self._forget_handlers()
        self._reader.close()
        self._writer.close()

    def _on_order(self, _number: int, _frame: FrameType | None) -> None:
        self._ordered = True

    def _on_woken(self) -> None:
        with contextlib.suppress(OSError):
            self._reader.recv(64)
        if self._ordered:
            self._ordered = False
            self._forget_handlers()
            self.asked.emit()

    def _forget_handlers(self) -> None:
        for name in _ORDERS:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
