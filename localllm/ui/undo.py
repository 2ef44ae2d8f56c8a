"""What was removed last, and how it comes back: one notice with one button, and Ctrl+Z."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from collections.abc import Callable


class Undo(QObject):
    """Keeps the ways back, the newest on top.

    Signals:
        offered: Something can be undone. arg: a sentence that says what happened.
        taken: What was offered was undone.
    """

    offered = Signal(str)
    taken = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ways: list[tuple[str, Callable[[], object]]] = []

    def offer(self, sentence: str, way_back: Callable[[], object]) -> None:
        """Say what happened and how it is undone; it stays possible until the window closes."""
        self._ways.append((sentence, way_back))
        self.offered.emit(sentence)

    def possible(self) -> bool:
        """Tell whether there is something to undo."""
        return bool(self._ways)

    def take(self) -> None:
        """Undo what happened last; what happened before it is next."""
        if self._ways:
            _sentence, way_back = self._ways.pop()
            self.taken.emit()
            way_back()
