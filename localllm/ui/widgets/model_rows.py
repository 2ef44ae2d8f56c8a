"""Draws a model in a list: its name, its details, and whether it fits in a word and a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, QSize
from PySide6.QtGui import QFont, QFontMetrics

from localllm.ui.itemmodels.library import DETAIL_ROLE, FIT_ROLE, MODEL_ROLE
from localllm.ui.translation import say
from localllm.ui.verdicts import fit_of, tint_of
from localllm.ui.widgets.row_painting import RowDelegate, draw_line, draw_pill

if TYPE_CHECKING:
    from PySide6.QtGui import QPainter
    from PySide6.QtWidgets import QStyleOptionViewItem

    from localllm.core.estimate import Estimate
    from localllm.ui.verdicts import Tint
    from localllm.ui.widgets.row_painting import Index

_MARGIN = 10


class ModelRowDelegate(RowDelegate):
    """Two lines and a pill."""

    def sizeHint(self, option: QStyleOptionViewItem, _index: Index) -> QSize:
        """Return two lines with room around them."""
        return QSize(200, QFontMetrics(option.font).lineSpacing() * 2 + 16)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row."""
        self.draw_ground(painter, option, index)
        painter.save()
        lane = option.rect.adjusted(0, 0, -_MARGIN, 0)
        right = draw_pill(painter, self._theme, option.font, lane, _pill_of(index.data(FIT_ROLE)))
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
            painter.setPen(self._theme.token(token))
            draw_line(painter, place, font, words)


def _pill_of(answer: Estimate | None) -> tuple[str, Tint] | None:
    if answer is None:
        return None
    return say(fit_of(answer)), tint_of(answer.verdict)
