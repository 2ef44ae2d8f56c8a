"""Draws a command in a list: icon, title, what sort of thing it is, and its keys at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter

from localllm.ui.itemmodels.commands import COMMAND_ROLE
from localllm.ui.keyboard import shown_keys
from localllm.ui.translation import say
from localllm.ui.widgets.row_painting import RowDelegate, draw_line

if TYPE_CHECKING:
    from PySide6.QtWidgets import QStyleOptionViewItem

    from localllm.ui.itemmodels.commands import Command
    from localllm.ui.widgets.row_painting import Index

_MARGIN, _ICON, _GAP = 10, 18, 12


class CommandRowDelegate(RowDelegate):
    """One line."""

    def sizeHint(self, option: QStyleOptionViewItem, _index: Index) -> QSize:
        """Return a line with room around it."""
        return QSize(200, QFontMetrics(option.font).lineSpacing() + 16)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row."""
        self.draw_ground(painter, option, index)
        painter.save()
        command: Command = index.data(COMMAND_ROLE)
        inner = option.rect.adjusted(_MARGIN, 0, -_MARGIN, 0)
        if command.icon:
            place = QRect(inner.left(), inner.center().y() - _ICON // 2, _ICON, _ICON)
            self._theme.icon(command.icon, "muted").paint(painter, place)
        inner.setLeft(inner.left() + _ICON + _GAP)
        inner.setRight(self._paint_right(painter, option.font, inner, command) - _GAP)
        painter.setPen(self._theme.token("text"))
        draw_line(painter, inner, option.font, str(index.data()))
        painter.restore()

    def _paint_right(self, painter: QPainter, font: QFont, lane: QRect, command: Command) -> int:
        """Draw the keys, and before them what it is; return where they begin."""
        small = QFont(font)
        small.setPointSizeF(font.pointSizeF() * 0.88)
        metrics = QFontMetrics(small)
        painter.setFont(small)
        left = lane.right()
        if command.keys:
            words = shown_keys(command.keys)
            width, height = metrics.horizontalAdvance(words) + 12, metrics.height() + 4
            place = QRect(left - width, lane.center().y() - height // 2, width, height)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(self._theme.token("border_strong"))
            painter.drawRoundedRect(place, 4, 4)
            painter.setPen(self._theme.token("muted"))
            painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter), words)
            left = place.left() - _GAP
        if command.kind is not None:
            words = say(command.kind)
            width = metrics.horizontalAdvance(words) + 2
            painter.setPen(self._theme.token("muted"))
            draw_line(painter, QRect(left - width, lane.top(), width, lane.height()), small, words)
            left -= width
        return left
