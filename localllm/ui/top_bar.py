"""The bar at the top: the model that answers, and the downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from localllm.texts import Text, text
from localllm.ui.downloads_panel import DownloadsButton
from localllm.ui.loader_details import comparison_of
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button

if TYPE_CHECKING:
    from localllm.ui.services import Services

_MODEL_WORDS_WIDTH = 480


class TopBar(QWidget):
    """Says which model is loaded, and where it is chosen."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self.setObjectName("top_bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.model_button = make_button("")
        self.model_button.setObjectName("model_button")
        self.model_button.setMinimumWidth(360)
        self.model_button.setIconSize(QSize(18, 18))
        self.downloads_button = DownloadsButton(services)
        row = QGridLayout(self)
        row.setContentsMargins(16, 8, 16, 8)
        row.setColumnStretch(0, 1)
        row.setColumnStretch(2, 1)
        row.addWidget(self.model_button, 0, 1)
        row.addWidget(self.downloads_button, 0, 2, Qt.AlignmentFlag.AlignRight)
        services.model.changed.connect(self._show_model)
        services.model.progressed.connect(self._show_model)
        services.theme.changed.connect(self._show_model)
        self._show_model()

    def _show_model(self, fraction: float = 0.0, note: Text | None = None) -> None:
        model = self._services.model
        if model.loading is not None:
            percent = round(100 * fraction)
            words = say(text("Loading {model}: {percent} %", model=model.loading.name, percent=percent))
        elif model.loaded is not None:
            context = model.loaded.context_length
            words = say(text("{model} · context {tokens} tokens", model=model.name, tokens=context))
        else:
            words = self.tr("Choose a model (Ctrl+L)")
        metrics = self.model_button.fontMetrics()
        short = metrics.elidedText(words, Qt.TextElideMode.ElideMiddle, _MODEL_WORDS_WIDTH)
        self.model_button.setText("  " + short)
        self.model_button.setToolTip(f"{words}\n{say(note)}" if note else self._with_comparison(words))
        self.model_button.setAccessibleName(words)
        ready = model.loaded is not None
        self.model_button.setIcon(self._services.theme.icon("model", "accent" if ready else "muted"))

    def _with_comparison(self, words: str) -> str:
        """Add what the model took beside what was predicted."""
        load = self._services.session.comparison
        if self._services.model.loaded is None or load is None:
            return words
        return words + "\n" + say(text("Memory: {comparison}", comparison=comparison_of(load)))
