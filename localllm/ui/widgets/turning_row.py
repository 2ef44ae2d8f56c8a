"""Parts of a page beside each other where there is room, else one below the other; it grows with its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QBoxLayout, QWidget

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent


class TurningRow(QWidget):
    """Turns at a width of `turn_at` pixels."""

    def __init__(self, turn_at: int, spacing: int) -> None:
        super().__init__()
        self._turn_at = turn_at
        self.parts = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self.parts.setContentsMargins(0, 0, 0, 0)
        self.parts.setSpacing(spacing)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the parts beside each other where there is room."""
        super().resizeEvent(event)
        directions = QBoxLayout.Direction
        wide = event.size().width() >= self._turn_at
        self.parts.setDirection(directions.LeftToRight if wide else directions.TopToBottom)
