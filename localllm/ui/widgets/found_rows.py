"""Draws what a search found: a name with a pill, and two lines of facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QApplication, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from localllm.ui.itemmodels.found import FOUND_ROLE

if TYPE_CHECKING:
    from localllm.ui.itemmodels.found import Found
    from localllm.ui.theme import Theme
    from localllm.ui.verdicts import Tint

Index = QModelIndex | QPersistentModelIndex
_GROUNDS: dict[Tint, tuple[str, str]] = {
    "good": ("success_soft", "success"),
    "tight": ("warning_soft", "warning"),
    "bad": ("danger_soft", "danger"),
}
_MARGIN = 10
_LEFT = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)


class FoundRowDelegate(QStyledItemDelegate):
    """Three lines."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, _index: Index) -> QSize:
        """Return three lines with room around them."""
        return QSize(200, QFontMetrics(option.font).lineSpacing() * 3 + 18)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row."""
        ground = QStyleOptionViewItem(option)
        self.initStyleOption(ground, index)
        ground.text = ""
        style = option.widget.style() if option.widget else QApplication.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, ground, painter, option.widget)
        painter.save()
        found: Found = index.data(FOUND_ROLE)
        inner = option.rect.adjusted(_MARGIN, 7, -_MARGIN, -7)
        height = inner.height() // 3
        right = self._paint_pill(painter, option.font, inner, height, found)
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
            painter.setFont(font)
            painter.setPen(self._theme.token(token))
            fitting = QFontMetrics(font).elidedText(words, Qt.TextElideMode.ElideMiddle, place.width())
            painter.drawText(place, _LEFT, fitting)
        painter.restore()

    def _paint_pill(self, painter: QPainter, font: QFont, inner: QRect, height: int, found: Found) -> int:
        """Draw the pill in the first line and return where it begins."""
        if found.pill is None:
            return inner.right()
        words, tint = found.pill
        small = QFont(font)
        small.setPointSizeF(font.pointSizeF() * 0.88)
        metrics = QFontMetrics(small)
        width = metrics.horizontalAdvance(words) + 16
        place = QRect(inner.right() - width, inner.top(), width, height)
        ground, ink = _GROUNDS[tint]
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.token(ground))
        painter.drawRoundedRect(place, height // 2, height // 2)
        painter.setFont(small)
        painter.setPen(self._theme.token(ink))
        painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter), words)
        return place.left() - 8
