"""Heights in lines of text, kept while the size of the text changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget


class _Keeper(QObject):
    def __init__(self, control: QWidget, lines: float, extra: int, *, fixed: bool) -> None:
        super().__init__(control)
        self._control, self._lines, self._extra, self._fixed = control, lines, extra, fixed
        control.installEventFilter(self)
        self._apply()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the control's font."""
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.Polish):
            self._apply()
        return super().eventFilter(watched, event)

    def _apply(self) -> None:
        height = round(self._lines * self._control.fontMetrics().lineSpacing()) + self._extra
        if self._fixed:
            self._control.setFixedHeight(height)
        else:
            self._control.setMinimumHeight(height)


def keep_height(control: QWidget, lines: float = 1, extra: int = 12, *, fixed: bool = False) -> None:
    """Make a control at least, or exactly, so many lines of its font high, and `extra` pixels."""
    _Keeper(control, lines, extra, fixed=fixed)
