"""Two parts side by side where there is room, else one below the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSplitter, QWidget

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent


class TwoParts(QSplitter):
    """Turns at a width of `turn_at` pixels; the second part has `share` of the room, from 0 to 1.

    Signals:
        turned: The parts are beside each other now, or below.
    """

    turned = Signal()

    def __init__(
        self, first: QWidget, second: QWidget, *, turn_at: int, share: float, share_below: float
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._turn_at, self._share, self._share_below = turn_at, share, share_below
        self._turned: Qt.Orientation | None = None
        self.setChildrenCollapsible(False)
        self.setHandleWidth(12)
        self.addWidget(first)
        self.addWidget(second)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Turn where there is too little room."""
        beside = event.size().width() >= self._turn_at
        wanted = Qt.Orientation.Horizontal if beside else Qt.Orientation.Vertical
        if wanted != self._turned:
            self._turned = wanted
            self.setOrientation(wanted)
            self.share_out()
            self.turned.emit()
        super().resizeEvent(event)

    def share_out(self) -> None:
        """Give each part its share of the room again."""
        beside = self.orientation() == Qt.Orientation.Horizontal
        room = self.width() if beside else self.height()
        share = self._share if beside else self._share_below
        self.setSizes([round(room * (1 - share)), round(room * share)])
        for part, stretch in enumerate((1 - share, share)):
            self.setStretchFactor(part, round(100 * stretch))
