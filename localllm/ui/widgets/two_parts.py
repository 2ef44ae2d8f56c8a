"""Two parts side by side where there is room, else one below the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter, QWidget

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent


class TwoParts(QSplitter):
    """Turns at a width of `turn_at` pixels; `shares` of the room go to the parts."""

    def __init__(
        self, first: QWidget, second: QWidget, *, turn_at: int, shares: tuple[int, int], beside: int = 0
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._turn_at, self._shares, self._beside = turn_at, shares, beside
        self._turned: Qt.Orientation | None = None
        self.setChildrenCollapsible(False)
        self.setHandleWidth(12)
        self.addWidget(first)
        self.addWidget(second)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Turn where there is too little room."""
        wide = event.size().width() >= self._turn_at
        wanted = Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical
        if wanted != self._turned:
            self._turned = wanted
            self.setOrientation(wanted)
            room = event.size().width() if wide else event.size().height()
            first, second = self._shares
            own = self._beside if wide and self._beside else room * second // (first + second)
            self.setSizes([room - own, own])
            self.setStretchFactor(0, first)
            self.setStretchFactor(1, 0 if wide and self._beside else second)
        super().resizeEvent(event)
