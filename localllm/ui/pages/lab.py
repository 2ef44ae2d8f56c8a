"""The Lab page: convert checkpoints, quantize models, measure what it cost; beside it the list of work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from localllm.ui.pages.lab_convert import ConvertPanel
from localllm.ui.pages.lab_quality import QualityPanel
from localllm.ui.pages.lab_quantize import QuantizePanel
from localllm.ui.pages.lab_work import WorkPanel
from localllm.ui.widgets.basics import make_card
from localllm.ui.widgets.page_tabs import PageTabs, head_with_tabs
from localllm.ui.widgets.two_parts import TwoParts

if TYPE_CHECKING:
    from PySide6.QtGui import QDragEnterEvent, QDropEvent

    from localllm.core.library import LibraryModel
    from localllm.ui.services import Services

CONVERT, QUANTIZE, QUALITY = range(3)
_TURN_AT = 1000  # pixels from which the work is beside the panel
_EMPTY_HEIGHT = 104  # pixels: a heading and two lines
_ANY_HEIGHT = (1 << 24) - 1  # pixels: the most that Qt allows


class LabPage(QWidget):
    """A tab for each kind of work.

    Signals:
        chat_asked: A model that was made is wanted. arg: `LibraryModel`.
        library_asked: It is to be shown in the library. arg: `LibraryModel`.
        said: arg: a passing sentence.
    """

    chat_asked = Signal(object)
    library_asked = Signal(object)
    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self.setAcceptDrops(True)
        self.setAccessibleName(self.tr("Lab"))
        self.convert = ConvertPanel(services)
        self.quantize = QuantizePanel(services)
        self._quality: QualityPanel | None = None
        self.work = WorkPanel(services)
        self._build()
        self.tabs.currentChanged.connect(self._on_tab_changed)
        self.work.chat_asked.connect(self.chat_asked)
        self.work.library_asked.connect(self.library_asked)
        self.work.quantize_asked.connect(self.open_quantize)
        self.work.quality_asked.connect(self.open_quality)
        services.lab.succeeded.connect(self._on_succeeded)
        services.lab.added.connect(self._fit_work)
        services.lab.removed.connect(self._fit_work)
        self._parts.turned.connect(self._fit_work)

    @property
    def quality(self) -> QualityPanel:
        """The Quality panel, made when first asked for."""
        if self._quality is None:
            self._quality = QualityPanel(self._services)
            self._quality.chat_asked.connect(self.chat_asked)
            self._quality.said.connect(self.said)
            self._stack.addWidget(self._quality)
        return self._quality

    def setFocus(self) -> None:
        """Let the person go on in the panel that is shown."""
        panel = self._stack.currentWidget()
        if panel is not None:
            panel.setFocus()

    def open_quantize(self, model: LibraryModel) -> None:
        """Let a model be quantized."""
        self.tabs.setCurrentIndex(QUANTIZE)
        self.quantize.open_model(model.path)
        self.quantize.setFocus()

    def open_quality(self, model: LibraryModel) -> None:
        """Let it be measured what a model lost."""
        self.tabs.setCurrentIndex(QUALITY)
        self.quality.open_model(model)
        self.quality.setFocus()

    def open_convert(self, words: str) -> None:
        """Look over a checkpoint: a folder or a repository."""
        self.tabs.setCurrentIndex(CONVERT)
        self.convert.open_source(words)
        self.convert.setFocus()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take a checkpoint's folder, or a GGUF file."""
        if _dropped(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Look over a folder, or offer to quantize a file."""
        path = _dropped(event)
        if path is None:
            return
        event.acceptProposedAction()
        if path.is_dir():
            self.open_convert(str(path))
        else:
            self.tabs.setCurrentIndex(QUANTIZE)
            self.quantize.open_model(path)

    def _build(self) -> None:
        self.tabs = PageTabs("lab", self.tr("What the Lab can do"))
        self._stack = QStackedWidget()
        self._stack.addWidget(self.convert)
        self._stack.addWidget(self.quantize)
        card = self._card = make_card()
        inside = QVBoxLayout(card)
        inside.setContentsMargins(14, 12, 8, 12)
        inside.addWidget(self.work)
        card.setMinimumWidth(260)
        card.setMinimumHeight(96)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 14, 20, 14)
        column.setSpacing(10)
        column.addLayout(head_with_tabs(self.tr("Lab"), self.tabs))
        self._parts = TwoParts(self._stack, card, turn_at=_TURN_AT, share=0.27, share_below=0.38)
        column.addWidget(self._parts, 1)

    def _fit_work(self) -> None:
        """Give the list of work no more room below the panel than its words need while it is empty."""
        below = self._parts.orientation() == Qt.Orientation.Vertical
        most = _EMPTY_HEIGHT if below and not self._services.lab.entries else _ANY_HEIGHT
        if most != self._card.maximumHeight():
            self._card.setMaximumHeight(most)
            self._parts.share_out()

    def _on_tab_changed(self, tab: int) -> None:
        panels = {CONVERT: self.convert, QUANTIZE: self.quantize}
        self._stack.setCurrentWidget(panels.get(tab) or self.quality)

    def _on_succeeded(self) -> None:
        if self.quantize.isVisible():
            self.quantize.list_models()


def _dropped(event: QDropEvent) -> Path | None:
    """Return what is dropped, if it is one folder or one GGUF file."""
    paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    if len(paths) == 1 and (paths[0].is_dir() or paths[0].suffix.lower() == ".gguf"):
        return paths[0]
    return None
