"""Ways back: settings, the window and the caches as they were at the beginning; never chats or models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel

from localllm.core.diagnostics.caches import empty_caches, size_of
from localllm.texts import Bytes, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Reactions
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label, start_card

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QShowEvent

    from localllm.ui.services import Services


class ResetsCard(QFrame):
    """Three of them, each with what it leaves alone.

    Signals:
        noticed: Something was done, or not. args: sentences, the kind of banner.
        window_reset_asked: The window is to open as the first time.
    """

    noticed = Signal(list, str)
    window_reset_asked = Signal()

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._services = services
        safe = self.tr("Your chats, your models and everything you made stay as they are.")
        column = start_card(self, self.tr("Reset"), safe)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(10)
        self._grid.setColumnStretch(0, 1)
        column.addLayout(self._grid)
        self._caches = make_label(wrap=True)
        settings = make_label(
            self.tr("All settings to their defaults; the old file is kept beside."), wrap=True
        )
        window = make_label(
            self.tr("Size, place and last page of the window, from the next start on."), wrap=True
        )
        self._add(settings, self.tr("Reset the settings"), self._on_settings)
        self._add(window, self.tr("Reset the window"), self._on_window)
        self._add(self._caches, self.tr("Empty the caches"), self._on_caches)

    def showEvent(self, event: QShowEvent) -> None:
        """Measure the caches."""
        super().showEvent(event)
        self._measure()

    def _add(self, words: QLabel, label: str, act: Callable[[], object]) -> None:
        line = self._grid.rowCount()
        button = make_button(label)
        button.clicked.connect(act)
        self._grid.addWidget(words, line, 0)
        self._grid.addWidget(button, line, 1)

    def _measure(self) -> None:
        cache = self._services.paths.cache
        self._services.jobs.run(lambda _progress: size_of(cache), Reactions(succeeded=self._show_caches))

    def _show_caches(self, size: int) -> None:
        sentence = text("Caches ({size}): they are made again when they are needed.", size=Bytes(size))
        self._caches.setText(say(sentence))

    def _on_settings(self) -> None:
        try:
            kept = self._services.preferences.reset()
        except OSError as error:
            self.noticed.emit(sentences_of(error), "error")
            return
        done = self.tr("All settings are the defaults.")
        where = [say(text("The old settings are kept in “{file}”.", file=str(kept)))] if kept else []
        self.noticed.emit([done, *where], "notice")

    def _on_window(self) -> None:
        self.window_reset_asked.emit()
        self.noticed.emit([self.tr("The next start opens the window as the first one did.")], "notice")

    def _on_caches(self) -> None:
        paths = self._services.paths
        reactions = Reactions(succeeded=self._on_emptied, failed=self._on_failed, finished=self._measure)
        self._services.jobs.run(lambda _progress: empty_caches(paths), reactions)

    def _on_emptied(self, freed: int) -> None:
        self.noticed.emit(
            [say(text("{size} were freed; chats and models are untouched.", size=Bytes(freed)))], "notice"
        )

    def _on_failed(self, error: Exception) -> None:
        self.noticed.emit(sentences_of(error), "error")
