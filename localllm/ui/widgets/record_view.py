"""The table view of records: sorted by a click, read with the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from PySide6.QtCore import QItemSelectionModel, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from localllm.ui.itemmodels.records import RECORD_ROLE, RecordTable
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QKeyEvent

    from localllm.ui.itemmodels.records import Column

_AROUND = 26  # pixels of a cell besides its words
_LOOKED_AT = 50  # rows from which the width of a column is found
_BETWEEN = 11  # pixels between two lines


class RecordView(QTableView):
    """Shows a `RecordTable`, one whole row at a time chosen.

    Signals:
        entered: Enter was pressed on a row, or it was double-clicked.
        row_chosen: Another row is the current one. arg: its record, or None.
    """

    entered = Signal()
    row_chosen = Signal(object)

    def __init__(self, name: str, *, several: bool = False) -> None:
        super().__init__()
        modes = QAbstractItemView.SelectionMode
        self.setAccessibleName(name)
        self.setObjectName("measured_table")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(modes.ExtendedSelection if several else modes.SingleSelection)
        self.setSortingEnabled(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        header = self.horizontalHeader()
        header.setResizeContentsPrecision(_LOOKED_AT)
        header.setHighlightSections(False)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().lineSpacing() + _BETWEEN)
        self.doubleClicked.connect(self.entered)

    @property
    def record(self) -> Any:
        """The record of the current row; None without one."""
        index = self.currentIndex()
        return index.data(RECORD_ROLE) if index.isValid() else None

    def show_table(self, table: RecordTable[Any]) -> None:
        """Show another table in its own order; the one before is forgotten."""
        before = self.model()
        self.show_unsorted()
        self.setModel(table)
        if isinstance(before, RecordTable) and before is not table:
            before.deleteLater()
        self.selectionModel().currentRowChanged.connect(self._on_row)

    def show_unsorted(self) -> None:
        """Forget how it was sorted."""
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)

    def choose_row(self, row: int) -> None:
        """Make a row the current one."""
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.selectionModel().setCurrentIndex(self.model().index(row, 0), flags)

    def width_of(self, column: Column[Any], records: Sequence[Any]) -> int:
        """Return how many pixels a column of these records needs."""
        words = [say(column.title) + "  ", *(say(column.shown(record)) for record in records)]
        return max(self.fontMetrics().horizontalAdvance(one) for one in words) + _AROUND

    def show_lines(self, least: int, most: int) -> None:
        """Be as high as the rows need, within limits."""
        lines = min(most, max(least, self.model().rowCount()))
        below = self.horizontalScrollBar().sizeHint().height() if self._needs_scrolling() else 0
        height = self.horizontalHeader().sizeHint().height() + 6 + below
        self.setFixedHeight(height + lines * self.verticalHeader().defaultSectionSize())

    def markdown(self) -> str:
        """Return what it shows as a Markdown table, in the order it is in."""
        table = cast("RecordTable[Any]", self.model())
        columns = table.columns
        rows = [[say(column.shown(record)) for column in columns] for record in table.records]
        marks = ["---:" if column.right else "---" for column in columns]
        lines = [[say(column.title) for column in columns], marks, *rows]
        return "".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |\n" for line in lines)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered.emit()
        else:
            super().keyPressEvent(event)

    def _needs_scrolling(self) -> bool:
        return self.horizontalHeader().length() > self.viewport().width()

    def _on_row(self, now: Any, _before: Any) -> None:
        self.row_chosen.emit(now.data(RECORD_ROLE) if now.isValid() else None)
