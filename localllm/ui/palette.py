"""The frame of what opens over the window to choose from: a search field, a list, arrows and Enter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, QSortFilterProxyModel, Qt
from PySide6.QtWidgets import QAbstractSpinBox, QDialog, QLineEdit, QListView, QPushButton, QWidget

from localllm.ui.announce import announce
from localllm.ui.terms import ask_for, term_at
from localllm.ui.widgets.basics import make_label

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent
    from PySide6.QtWidgets import QAbstractItemDelegate

_AROUND = QSize(56, 36)  # of the window that stays to be seen
_PAGE_OF_ROWS = 8
_STEPS = {
    Qt.Key.Key_Down: 1,
    Qt.Key.Key_Up: -1,
    Qt.Key.Key_PageDown: _PAGE_OF_ROWS,
    Qt.Key.Key_PageUp: -_PAGE_OF_ROWS,
}


class Palette(QDialog):
    """A dialog over the window; subclasses lay the parts out and say what Enter does."""

    def __init__(self, parent: QWidget, title: str, largest: QSize, matches: QSortFilterProxyModel) -> None:
        super().__init__(parent)
        self._window, self._largest = parent, largest
        self.setObjectName("palette")
        self.setWindowTitle(title)
        self.matches = matches
        self.matches.setParent(self)
        self.search = QLineEdit()
        self.search.setClearButtonEnabled(True)
        self.view = QListView()
        self.view.setModel(self.matches)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.nothing = make_label("", "muted", wrap=True)
        self.nothing.hide()
        self.search.textChanged.connect(self._on_searched)

    def name_parts(self, search: str, items: str, nothing: str) -> None:
        """Say what is searched, what is listed, and that nothing was found."""
        self.search.setPlaceholderText(search)
        self.search.setAccessibleName(search)
        self.view.setAccessibleName(items)
        self.nothing.setText(nothing)

    def set_rows(self, delegate: QAbstractItemDelegate) -> None:
        """Say how the rows are drawn."""
        self.view.setItemDelegate(delegate)

    def open(self) -> None:
        """Show everything there is, ready to be searched."""
        self.resize(self._largest.boundedTo(self._window.size() - _AROUND))
        self.search.clear()
        self.search.setFocus()
        super().open()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move in the list from the search field; Enter takes what is chosen; F1 explains."""
        focus = self.focusWidget()
        step = _STEPS.get(Qt.Key(event.key()))
        if event.key() == Qt.Key.Key_F1:
            ask_for(self, term_at(focus))
        elif step is not None:
            last = self.matches.rowCount() - 1
            self.select_row(max(0, min(last, self.view.currentIndex().row() + step)))
            self._announce()
        elif event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            super().keyPressEvent(event)
        elif isinstance(focus, QPushButton):
            focus.click()
        elif not isinstance(focus, QAbstractSpinBox):  # there it ends the typing of a number
            self.take_chosen()

    def take_chosen(self) -> None:
        """Do what Enter does with the chosen row."""
        raise NotImplementedError

    def filter(self, words: str) -> None:
        """Leave only the rows that match."""
        self.matches.setFilterFixedString(words)

    def select_row(self, row: int) -> None:
        """Choose a row, if it is there."""
        if 0 <= row < self.matches.rowCount():
            self.view.setCurrentIndex(self.matches.index(row, 0))

    def _announce(self) -> None:
        """Let a screen reader say what Enter would take, for the focus stays in the search field."""
        index = self.view.currentIndex()
        if index.isValid() and self.isVisible():
            detail = index.data(Qt.ItemDataRole.AccessibleDescriptionRole)
            words = ", ".join(str(part) for part in (index.data(), detail) if part)
            announce(self.search, words)

    def _on_searched(self, words: str) -> None:
        self.filter(words)
        self.nothing.setVisible(self.matches.rowCount() == 0)
        if not self.view.currentIndex().isValid():
            self.select_row(0)
        self._announce()
