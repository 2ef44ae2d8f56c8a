"""One fact about this computer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from localllm.ui.widgets.basics import IconLabel, make_label

if TYPE_CHECKING:
    from localllm.ui.theme import Theme


class Fact(QWidget):
    """An icon, what it is about, the fact, and a detail."""

    def __init__(self, theme: Theme, icon: str, caption: str) -> None:
        super().__init__()
        self._value = make_label(role="strong", wrap=True)
        self._detail = make_label(role="small", wrap=True)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(IconLabel(theme, icon, "accent", 22), 0, Qt.AlignmentFlag.AlignTop)
        self.column = QVBoxLayout()
        self.column.setSpacing(2)
        self.column.addWidget(make_label(caption, "caption"))
        self.column.addWidget(self._value)
        self.column.addWidget(self._detail)
        self.column.addStretch(1)
        row.addLayout(self.column, 1)

    def show_fact(self, value: str, detail: str) -> None:
        """Show the fact."""
        self._value.setText(value)
        self._detail.setText(detail)
        self._detail.setVisible(bool(detail))
