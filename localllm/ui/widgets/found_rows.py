"""Draws what a search found: a name with a pill, and two lines of facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics

from localllm.ui.itemmodels.found import FOUND_ROLE
from localllm.ui.widgets.row_painting import RowDelegate, draw_line, draw_pill

if TYPE_CHECKING:
    from PySide6.QtGui import QPainter
    from PySide6.QtWidgets import QStyleOptionViewItem

    from localllm.ui.itemmodels.found import Found
    from localllm.ui.widgets.row_painting import Index

_MARGIN = 10


class FoundRowDelegate(RowDelegate):
    """Three lines."""

    def sizeHint(self, option: QStyleOptionViewItem, _index: Index) -> QSize:
        """Return three lines with room around them."""
        return QSize(200, QFontMetrics(option.font).lineSpacing() * 3 + 18)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row."""
        self.draw_ground(painter, option, index)
        painter.save()
        found: Found = index.data(FOUND_ROLE)
        inner = option.rect.adjusted(_MARGIN, 7, -_MARGIN, -7)
        height = inner.height() // 3
        first = QRect(inner.left(), inner.top(), inner.width(), height)
        right = draw_pill(painter, self._theme, option.font, first, found.pill) - (8 if found.pill else 0)
        strong, small = QFont(option.font), QFont(option.font)
        strong.setWeight(QFont.Weight.DemiBold)
        small.setPointSizeF(small.pointSizeF() * 0.92)
        lines = (
            (strong, "text", found.name, right),
            (small, "muted", found.lines[0], inner.right()),
            (small, "muted", found.lines[1], inner.right()),
        )
        for number, (font, token, words, end) in enumerate(lines):
            place = QRect(inner.left(), inner.top() + number * height, end - inner.left(), height)
            painter.setPen(self._theme.token(token))
            draw_line(painter, place, font, words, Qt.TextElideMode.ElideMiddle)
        painter.restore()
