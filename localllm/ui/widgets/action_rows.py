"""Sentences one below the other, each with what can be done about it as a button."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from localllm.ui.widgets.basics import make_label, make_link

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QMouseEvent


@dataclass(frozen=True)
class ActionRow:
    """A sentence; `label` and `act` of its button, where there is something to do."""

    sentence: str
    label: str = ""
    act: Callable[[], object] | None = None


class _RowWidget(QFrame):
    """One sentence; a click anywhere on it does what the button does."""

    def __init__(self, row: ActionRow) -> None:
        super().__init__()
        self._row = row
        self._button: QPushButton | None = None
        self.setProperty("row", "action" if row.act else "plain")
        line = QHBoxLayout(self)
        line.setContentsMargins(10, 4, 6, 4)
        line.setSpacing(8)
        line.addWidget(make_label(row.sentence, wrap=True), 1)
        if row.act is not None:
            self.setCursor(Qt.CursorShape.PointingHandCursor)
            self._button = make_link(row.label, name=f"{row.label}: {row.sentence}")
            self._button.clicked.connect(self._act)
            line.addWidget(self._button)

    def take_focus(self) -> None:
        """Put the keyboard on its button."""
        if self._button is not None:
            self._button.setFocus()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Act, if the mouse is still on the row."""
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self._act()

    def _act(self) -> None:
        if self._row.act is not None:
            self._row.act()


class ActionRows(QWidget):
    """The rows; as high as they need to be, hidden while there are none."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.rows: tuple[ActionRow, ...] = ()
        self._widgets: list[_RowWidget] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)
        self.hide()

    def show_rows(self, rows: Sequence[ActionRow]) -> None:
        """Show other rows."""
        focused = self._focused_row()
        for widget in self._widgets:
            self._column.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self.rows = tuple(rows)
        self._widgets = [_RowWidget(row) for row in rows]
        for widget in self._widgets:
            self._column.addWidget(widget)
        self.setVisible(bool(rows))
        if focused is not None and self._widgets:
            self._widgets[min(focused, len(self._widgets) - 1)].take_focus()

    def _focused_row(self) -> int | None:
        focus = QApplication.focusWidget()
        return next((n for n, row in enumerate(self._widgets) if focus and row.isAncestorOf(focus)), None)
