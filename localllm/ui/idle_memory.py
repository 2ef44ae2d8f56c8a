"""Gives the memory of a model back that nobody has asked anything for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from localllm.ui.jobs import Reactions

if TYPE_CHECKING:
    from localllm.ui.services import Services

_LOOK_MS = 30_000


class IdleMemory(QObject):
    """Looks twice a minute; the model stays chosen, and the next message loads it again.

    Signals:
        given_back: The engine has ended.
    """

    given_back = Signal()

    def __init__(self, services: Services, parent: QObject) -> None:
        super().__init__(parent)
        self._services = services
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """End the engine if it was idle for as long as the settings say."""
        minutes, session = self._services.preferences.settings.idle_minutes, self._services.session
        if minutes and self._services.model.loaded is not None:
            reactions = Reactions(succeeded=self._on_looked)
            self._services.jobs.run(lambda _progress: session.doze(60.0 * minutes), reactions)

    def _on_looked(self, ended: bool) -> None:  # noqa: FBT001 - a signal's argument
        if ended:
            self.given_back.emit()
