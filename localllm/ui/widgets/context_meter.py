"""How full the context is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from localllm.texts import text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label

if TYPE_CHECKING:
    from localllm.engine.protocol import Stats


class ContextMeter(QWidget):
    """A thin bar with used and total tokens in words; hidden while nothing is known."""

    def __init__(self) -> None:
        super().__init__()
        self._words = make_label(role="small")
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setMinimumWidth(12)
        self._bar.setMaximumWidth(90)
        self._bar.setAccessibleName(self.tr("Context"))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._words, 0)
        row.addWidget(self._bar, 1)
        self.hide()

    def show_stats(self, stats: Stats | None) -> None:
        """Show what the last answer used."""
        known = stats is not None and stats.context_length > 0
        self.setVisible(known)
        if stats is None or not known:
            return
        self._bar.setRange(0, stats.context_length)
        self._bar.setValue(min(stats.context_used, stats.context_length))
        self._words.setText(
            say(
                text("Context: {used} of {total} tokens", used=stats.context_used, total=stats.context_length)
            )
        )
