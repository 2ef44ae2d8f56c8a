"""One window for one folder of data: a second start raises the first window, and hands its files over."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QLockFile, QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

from localllm.core.running import holder_of, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANSWER_MS = 1000
_LONGEST = 1 << 20  # bytes that another start may say
_CLOSING_SECONDS = 8.0  # a window that closes waits so long for its jobs at most
_STEP_MS = 100


class SingleWindow(QObject):
    """Holds the folder `data` for this process until `release`; others are told by a local socket.

    Signals:
        raise_asked: The program was started again.
        files_asked: It was started with these files, a list of paths.
    """

    raise_asked = Signal()
    files_asked = Signal(list)

    def __init__(self, data: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._data, self._name = data, _name_of(data)
        with contextlib.suppress(OSError):  # the store has the words for it
            data.mkdir(parents=True, exist_ok=True)
        self._lock = QLockFile(str(data / "window.lock"))
        self._lock.setStaleLockTime(0)  # held as long as the process lives
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_asked)

    def take(self, files: Sequence[Path] = ()) -> bool:
        """Return whether this start may have a window; if not, the other one was raised and has the files."""
        deadline, patience = time.monotonic() + _CLOSING_SECONDS, 0
        while not self._lock.tryLock(patience):
            if hand_over(self._data, files):
                return False
            if self._is_left_over() and self._lock.removeStaleLockFile():
                continue
            refused = self._lock.error() != QLockFile.LockError.LockFailedError
            if refused or time.monotonic() > deadline:
                return True  # better a second window than none: the folder cannot be written, or it hangs
            patience = _STEP_MS  # the other one closes, or has only just begun
        QLocalServer.removeServer(self._name)  # what a killed process left
        self._server.listen(self._name)
        return True

    def stop_answering(self) -> None:
        """Let the next start wait for the end of this process's window, which is near."""
        self._server.close()

    def release(self) -> None:
        """Let the next start have a window."""
        self.stop_answering()
        self._lock.unlock()

    def _is_left_over(self) -> bool:
        """Whether the lock is of a process that has ended, which Qt thinks alive until it was waited for."""
        try:
            holder = holder_of(Path(self._lock.fileName()))
        except OSError:
            return False
        return holder is not None and not runs(holder)

    def _on_asked(self) -> None:
        while self._server.hasPendingConnections():
            socket = self._server.nextPendingConnection()
            socket.setReadBufferSize(_LONGEST)
            socket.disconnected.connect(partial(self._on_said, socket))
            self.raise_asked.emit()
            if socket.state() == QLocalSocket.LocalSocketState.UnconnectedState:
                self._on_said(socket)

    def _on_said(self, socket: QLocalSocket) -> None:
        socket.disconnected.disconnect()
        said = bytes(socket.readAll().data())
        socket.deleteLater()
        with contextlib.suppress(ValueError, RecursionError):
            names: object = json.loads(said)
            if isinstance(names, list):
                words = [name for name in cast("list[object]", names) if isinstance(name, str)]
                if words:
                    self.files_asked.emit([Path(name) for name in words])


def hand_over(data: Path, files: Sequence[Path] = ()) -> bool:
    """Raise the window of these folders, if there is one, and give it the files; return whether it answered.

    Needs no application: a second start asks before it loads the rest of the window.
    """
    socket = QLocalSocket()
    socket.connectToServer(_name_of(data))
    if not socket.waitForConnected(_ANSWER_MS):
        return False
    if files:
        socket.write(json.dumps([str(file.absolute()) for file in files]).encode())
        socket.waitForBytesWritten(_ANSWER_MS)
    socket.disconnectFromServer()
    return True


def _name_of(data: Path) -> str:
    return f"localllm-{hashlib.sha256(str(data.absolute()).encode()).hexdigest()[:24]}"
