"""Where the data lie: how much each part takes, the folder itself, and moving it elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QVBoxLayout

from localllm.core.diagnostics.folders import data_parts
from localllm.texts import Bytes, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Job, Reactions
from localllm.ui.translation import say
from localllm.ui.widgets.backups_dialog import show_backups
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.diagnostics.folders import Part
    from localllm.ui.services import Services


class DataFolderCard(QFrame):
    """Measured whenever it is shown.

    Signals:
        noticed: Something is to be said. args: sentences, the kind of banner.
        restart_asked: The program is to end and to start again.
    """

    noticed = Signal(list, str)
    restart_asked = Signal()

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._services = services
        self._measuring: Job | None = None
        self._table = QGridLayout()
        self._table.setHorizontalSpacing(16)
        self._table.setVerticalSpacing(4)
        self._table.setColumnStretch(0, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 14, 18, 14)
        column.setSpacing(10)
        column.addWidget(make_label(self.tr("Data folder"), "heading"))
        where = text("Everything is kept in {folder}.", folder=str(services.paths.data))
        column.addWidget(make_label(say(where), wrap=True))
        column.addLayout(self._table)
        open_folder = make_button(self.tr("Open the folder"))
        open_folder.clicked.connect(self._on_open)
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(open_folder)
        backups = make_button(self.tr("Backups…"), name=self.tr("Backups of the chats"))
        backups.clicked.connect(lambda: show_backups(services, self))
        self.buttons.addWidget(backups)
        self.buttons.addStretch(1)
        column.addLayout(self.buttons)

    def showEvent(self, event: QShowEvent) -> None:
        """Measure anew."""
        super().showEvent(event)
        if self._measuring is None:
            paths = self._services.paths
            reactions = Reactions(
                succeeded=self._show_parts, failed=self._on_failed, finished=self._on_measured
            )
            self._measuring = self._services.jobs.run(lambda progress: data_parts(paths, progress), reactions)

    def _show_parts(self, parts: Sequence[Part]) -> None:
        while (item := self._table.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.deleteLater()
        for line, part in enumerate(parts):
            size = make_label(say(text("{size}", size=Bytes(part.size))))
            self._table.addWidget(make_label(say(part.label), wrap=True), line, 0)
            self._table.addWidget(size, line, 1)

    def _on_measured(self) -> None:
        self._measuring = None

    def _on_failed(self, error: Exception) -> None:
        self.noticed.emit(sentences_of(error), "error")

    def _on_open(self) -> None:
        folder = self._services.paths.data
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            sentence = say(text("The folder could not be opened: {folder}", folder=str(folder)))
            self.noticed.emit([sentence], "error")
