"""Notices that the command line, or an editor, has changed the settings while the window is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QFileSystemWatcher, QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication

if TYPE_CHECKING:
    from localllm.ui.services import Services

_SOON_MS = 100  # after a first sign of change: whoever writes has more to do


class SettingsWatch(QObject):
    """Looks when their folder changes, and when the window comes forward: not every disk tells of changes."""

    def __init__(self, services: Services, parent: QObject) -> None:
        super().__init__(parent)
        self._folder, self._preferences = services.paths.config, services.preferences
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self.look)
        self._watcher = QFileSystemWatcher(self)
        self._watcher.directoryChanged.connect(self._soon.start)
        application = QGuiApplication.instance()
        if isinstance(application, QGuiApplication):
            application.applicationStateChanged.connect(self._on_state)
        self.look()

    def look(self) -> None:
        """Take over what has changed."""
        if not self._watcher.directories() and self._folder.is_dir():
            self._watcher.addPath(str(self._folder))
        self._preferences.look_again()

    def _on_state(self, state: Qt.ApplicationState) -> None:
        if state is Qt.ApplicationState.ApplicationActive:
            self.look()
