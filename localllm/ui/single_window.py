"""One window for one folder of data: a second start raises the first window."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from PySide6.QtCore import QLockFile, QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

if TYPE_CHECKING:
    from pathlib import Path

_ANSWER_MS = 1000
_CLOSING_MS = 8000  # a window that closes waits so long for its jobs at most


class SingleWindow(QObject):
    """Holds the folder `data` for this process until `release`; others are told by a local socket.

    Signals:
        raise_asked: The program was started again.
    """

    raise_asked = Signal()

    def __init__(self, data: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = f"localllm-{hashlib.sha256(str(data.absolute()).encode()).hexdigest()[:24]}"
        with contextlib.suppress(OSError):  # the store has the words for it
            data.mkdir(parents=True, exist_ok=True)
        self._lock = QLockFile(str(data / "window.lock"))
        self._lock.setStaleLockTime(0)  # held as long as the process lives
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_asked)

    def take(self) -> bool:
        """Return whether this start may have a window; if not, the other one was raised."""
        for patience in (0, _CLOSING_MS):
            if self._lock.tryLock(patience):
                QLocalServer.removeServer(self._name)  # what a killed process left
                self._server.listen(self._name)
                return True
            if self._ask_other():
                return False
        return True  # better a second window than none: the folder cannot be written, or the other hangs

    def stop_answering(self) -> None:
        """Let the next start wait for the end of this process's window, which is near."""
        self._server.close()

    def release(self) -> None:
        """Let the next start have a window."""
        self.stop_answering()
        self._lock.unlock()

    def _ask_other(self) -> bool:
        socket = QLocalSocket()
        socket.connectToServer(self._name)
        answered = socket.waitForConnected(_ANSWER_MS)
        socket.abort()
        return answered

    def _on_asked(self) -> None:
        while self._server.hasPendingConnections():
            self._server.nextPendingConnection().deleteLater()
            self.raise_asked.emit()
