"""Draws the cells of the Library page's table that are more than one line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyleOptionViewItem

from localllm.ui.itemmodels.library_page import DETAIL_ROLE, NAME, STAR, STATE, TOKEN_ROLE
from localllm.ui.itemmodels.records import RECORD_ROLE
from localllm.ui.widgets.row_painting import RowDelegate, draw_cell, draw_line

if TYPE_CHECKING:
    from localllm.ui.widgets.row_painting import Index

_STAR_SIZE = 18
_DOT = 8
_MARGIN = 8


def row_height(metrics: QFontMetrics) -> int:
    """Return the height of two lines with room around them."""
    return metrics.lineSpacing() * 2 + 14


class LibraryRowDelegate(RowDelegate):
    """A star, a name over its details, a dot before the state; the rest as the style does it."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one cell."""
        cell = QStyleOptionViewItem(option)
        self.initStyleOption(cell, index)
        cell.state &= ~QStyle.StateFlag.State_HasFocus
        if index.column() not in (STAR, NAME, STATE):
            draw_cell(painter, cell)
            return
        words, cell.text = cell.text, ""
        draw_cell(painter, cell)
        painter.save()
        if index.column() == STAR:
            self._paint_star(painter, cell.rect, index)
        elif index.column() == NAME:
            self._paint_name(painter, cell, words, index)
        else:
            self._paint_state(painter, cell, words, str(index.data(TOKEN_ROLE)))
        painter.restore()

    def _paint_star(self, painter: QPainter, rect: QRect, index: Index) -> None:
        favourite = index.data(RECORD_ROLE).favourite
        icon = self._theme.icon(
            "star-filled" if favourite else "star", "accent" if favourite else "border_strong"
        )
        place = QRect(0, 0, _STAR_SIZE, _STAR_SIZE)
        place.moveCenter(rect.center())
        icon.paint(painter, place)

    def _paint_name(self, painter: QPainter, cell: QStyleOptionViewItem, name: str, index: Index) -> None:
        strong, small = QFont(cell.font), QFont(cell.font)
        strong.setWeight(QFont.Weight.DemiBold)
        small.setPointSizeF(small.pointSizeF() * 0.88)
        inner = cell.rect.adjusted(_MARGIN, 5, -4, -5)
        half = inner.height() // 2
        refused = index.data(RECORD_ROLE).problem is not None
        lines = (
            (QRect(inner.left(), inner.top(), inner.width(), half), strong, "text", name),
            (
                QRect(inner.left(), inner.top() + half, inner.width(), half),
                small,
                "danger" if refused else "muted",
                str(index.data(DETAIL_ROLE)),
            ),
        )
        for place, font, token, words in lines:
            painter.setPen(self._theme.token(token))
            draw_line(painter, place, font, words)

    def _paint_state(self, painter: QPainter, cell: QStyleOptionViewItem, words: str, token: str) -> None:
        color = self._theme.token(token)
        inner = cell.rect.adjusted(_MARGIN, 0, -4, 0)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawEllipse(inner.left(), inner.center().y() - _DOT // 2 + 1, _DOT, _DOT)
        inner.setLeft(inner.left() + _DOT + 6)
        painter.setPen(color)
        draw_line(painter, inner, cell.font, words)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return room for two lines."""
        return QSize(super().sizeHint(option, index).width(), row_height(QFontMetrics(option.font)))
