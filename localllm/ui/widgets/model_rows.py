"""Draws a model in a list: its name, its details, and whether it fits in a word and a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QApplication, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from localllm.texts import Bytes, text
from localllm.ui.itemmodels.library import DETAIL_ROLE, FIT_ROLE, MODEL_ROLE
from localllm.ui.translation import say
from localllm.ui.verdicts import tint_of, word_of

if TYPE_CHECKING:
    from localllm.core.estimate import Estimate
    from localllm.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
_GROUNDS = {
    "good": ("success_soft", "success"),
    "tight": ("warning_soft", "warning"),
    "bad": ("danger_soft", "danger"),
}
_MARGIN = 10


class ModelRowDelegate(QStyledItemDelegate):
    """Two lines and a pill."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, _index: Index) -> QSize:
        """Return two lines with room around them."""
        return QSize(200, QFontMetrics(option.font).lineSpacing() * 2 + 16)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row."""
        ground = QStyleOptionViewItem(option)
        self.initStyleOption(ground, index)
        ground.text = ""
        style = option.widget.style() if option.widget else QApplication.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, ground, painter, option.widget)
        painter.save()
        right = self._paint_pill(painter, option, index.data(FIT_ROLE))
        inner = option.rect.adjusted(_MARGIN, 7, 0, -7)
        inner.setRight(right - 8)
        self._paint_words(painter, option, inner, index)
        painter.restore()

    def _paint_words(
        self, painter: QPainter, option: QStyleOptionViewItem, inner: QRect, index: Index
    ) -> None:
        strong = QFont(option.font)
        strong.setWeight(QFont.Weight.DemiBold)
        model = index.data(MODEL_ROLE)
        upper = QRect(inner.left(), inner.top(), inner.width(), inner.height() // 2)
        lower = QRect(inner.left(), upper.bottom() + 1, inner.width(), inner.height() // 2)
        lines = (
            (upper, strong, "text", str(index.data())),
            (lower, option.font, "danger" if model.problem else "muted", str(index.data(DETAIL_ROLE))),
        )
        for place, font, token, words in lines:
            painter.setFont(font)
            painter.setPen(self._theme.token(token))
            fitting = QFontMetrics(font).elidedText(words, Qt.TextElideMode.ElideRight, place.width())
            painter.drawText(place, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), fitting)

    def _paint_pill(self, painter: QPainter, option: QStyleOptionViewItem, answer: Estimate | None) -> int:
        """Draw the pill and return where it begins."""
        if answer is None:
            return option.rect.right() - _MARGIN
        words = say(
            text("{verdict}: {need}", verdict=word_of(answer.verdict), need=Bytes(answer.memory.total))
        )
        font = QFont(option.font)
        font.setPointSizeF(font.pointSizeF() * 0.88)
        metrics = QFontMetrics(font)
        width, height = metrics.horizontalAdvance(words) + 16, metrics.height() + 4
        place = QRect(
            option.rect.right() - width - _MARGIN, option.rect.center().y() - height // 2, width, height
        )
        ground, ink = _GROUNDS[tint_of(answer.verdict)]
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.token(ground))
        painter.drawRoundedRect(place, height // 2, height // 2)
        painter.setFont(font)
        painter.setPen(self._theme.token(ink))
        painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter), words)
        return place.left()
