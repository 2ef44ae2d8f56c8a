"""What the rows of lists are drawn with: their ground, a line of words, a pill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QApplication, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

if TYPE_CHECKING:
    from localllm.ui.theme import Theme
    from localllm.ui.verdicts import Tint

Index = QModelIndex | QPersistentModelIndex
_GROUNDS: dict[Tint, tuple[str, str]] = {
    "good": ("success_soft", "success"),
    "tight": ("warning_soft", "warning"),
    "bad": ("danger_soft", "danger"),
}
_LEFT = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)


class RowDelegate(QStyledItemDelegate):
    """Draws rows of a list in the theme's colours."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def draw_ground(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw a row as the style does, without its words."""
        ground = QStyleOptionViewItem(option)
        self.initStyleOption(ground, index)
        ground.text = ""
        draw_cell(painter, ground)


def draw_cell(painter: QPainter, cell: QStyleOptionViewItem) -> None:
    """Draw a cell as the style does, with the words that it still has."""
    style = cell.widget.style() if cell.widget else QApplication.style()
    style.drawControl(QStyle.ControlElement.CE_ItemViewItem, cell, painter, cell.widget)


def draw_line(
    painter: QPainter,
    place: QRect,
    font: QFont,
    words: str,
    cut: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
) -> None:
    """Draw one line in the painter's colour; what does not fit is cut."""
    painter.setFont(font)
    painter.drawText(place, _LEFT, QFontMetrics(font).elidedText(words, cut, place.width()))


def draw_pill(
    painter: QPainter, theme: Theme, font: QFont, lane: QRect, pill: tuple[str, Tint] | None
) -> int:
    """Draw words on a tinted ground at the right end of a lane, and return where they begin."""
    if pill is None:
        return lane.right()
    words, tint = pill
    small = QFont(font)
    small.setPointSizeF(font.pointSizeF() * 0.88)
    metrics = QFontMetrics(small)
    width, height = metrics.horizontalAdvance(words) + 16, min(lane.height(), metrics.height() + 4)
    place = QRect(lane.right() - width, lane.center().y() - height // 2, width, height)
    ground, ink = _GROUNDS[tint]
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.token(ground))
    painter.drawRoundedRect(place, height // 2, height // 2)
    painter.setFont(small)
    painter.setPen(theme.token(ink))
    painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter), words)
    return place.left()
