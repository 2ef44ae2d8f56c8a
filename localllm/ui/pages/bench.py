"""The Bench page: measures speeds as llama-bench does, and remembers and compares what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from localllm.ui.pages.bench_history import HistoryPanel
from localllm.ui.pages.bench_measure import MeasurePanel
from localllm.ui.pages.bench_tune import TunePanel
from localllm.ui.widgets.page_tabs import PageTabs, head_with_tabs

if TYPE_CHECKING:
    from PySide6.QtGui import QDragEnterEvent, QDropEvent

    from localllm.core.library import LibraryModel
    from localllm.ui.services import Services

MEASURE, HISTORY, TUNE = range(3)
_KINDS = (".json", ".jsonl")


class BenchPage(QWidget):
    """A tab for measuring, one for what was measured, one for the best settings.

    Signals:
        said: arg: a passing sentence.
    """

    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self.setAccessibleName(self.tr("Bench"))
        self.measure = MeasurePanel(services)
        self.history = HistoryPanel(services)
        self.tune = TunePanel(services)
        self._build()
        self.tabs.currentChanged.connect(self._stack.setCurrentIndex)
        self.measure.said.connect(self.said)
        self.history.said.connect(self.said)
        self.history.measuring_asked.connect(lambda: self.tabs.setCurrentIndex(MEASURE))
        self.tune.said.connect(self.said)

    def setFocus(self) -> None:
        """Let the person go on in the panel that is shown."""
        panel = self._stack.currentWidget()
        if panel is not None:
            panel.setFocus()

    def open_model(self, model: LibraryModel) -> None:
        """Let a model be measured, or tuned on the other tab."""
        self.tabs.setCurrentIndex(MEASURE)
        self.measure.open_model(model)
        self.tune.open_model(model)
        self.measure.setFocus()

    def open_preset(self, name: str) -> None:
        """Offer to measure what a preset says."""
        self.tabs.setCurrentIndex(MEASURE)
        self.measure.form.choose_preset(name)
        self.measure.setFocus()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take llama-bench's files."""
        if _dropped(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Put llama-bench's files into the history."""
        files = _dropped(event)
        if files:
            event.acceptProposedAction()
            self.tabs.setCurrentIndex(HISTORY)
            self.history.take_files(files)

    def _build(self) -> None:
        self.tabs = PageTabs("bench", self.tr("What the Bench can do"))
        self._stack = QStackedWidget()
        self._stack.addWidget(self.measure)
        self._stack.addWidget(self.history)
        self._stack.addWidget(self.tune)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 14, 20, 14)
        column.setSpacing(10)
        column.addLayout(head_with_tabs(self.tr("Bench"), self.tabs))
        column.addWidget(self._stack, 1)


def _dropped(event: QDropEvent) -> list[Path]:
    """Return what is dropped, if all of it may be llama-bench's."""
    paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return paths if paths and all(path.suffix.lower() in _KINDS for path in paths) else []
