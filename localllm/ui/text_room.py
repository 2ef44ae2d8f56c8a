"""Heights and widths that follow the size of the text, also while it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QFontMetrics
    from PySide6.QtWidgets import QWidget

USUAL_LINE = 17  # pixels: a line of text at a system's usual size


class _Keeper(QObject):
    """Sets a size again whenever a part's font is another one."""

    def __init__(self, part: QWidget, apply: Callable[[QFontMetrics], None]) -> None:
        super().__init__(part)
        self._part, self._apply = part, apply
        part.installEventFilter(self)
        apply(part.fontMetrics())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the font."""
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.Polish):
            self._apply(self._part.fontMetrics())
        return super().eventFilter(watched, event)


def scale_of(metrics: QFontMetrics) -> float:
    """Return how much larger the text is than usual, at least 1."""
    return max(1.0, metrics.height() / USUAL_LINE)


def keep_height(part: QWidget, lines: float = 1, extra: int = 12, *, fixed: bool = False) -> None:
    """Make a part at least, or exactly, so many lines of its font high, and `extra` pixels."""

    def apply(metrics: QFontMetrics) -> None:
        height = round(lines * metrics.lineSpacing()) + extra
        if fixed:
            part.setFixedHeight(height)
        else:
            part.setMinimumHeight(height)

    _Keeper(part, apply)


def keep_width(part: QWidget, *, least: int = 0, most: int = 0) -> None:
    """Limit a part's width; pixels at the usual size of text, 0 for no limit."""

    def apply(metrics: QFontMetrics) -> None:
        if least:
            part.setMinimumWidth(round(least * scale_of(metrics)))
        if most:
            part.setMaximumWidth(round(most * scale_of(metrics)))

    _Keeper(part, apply)
