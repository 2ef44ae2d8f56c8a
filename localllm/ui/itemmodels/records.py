"""A table of records: one column for each fact, sorted by what the fact is, not by how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.texts import Text

RECORD_ROLE = Qt.ItemDataRole.UserRole + 1
Index = QModelIndex | QPersistentModelIndex
Record = TypeVar("Record")


@dataclass(frozen=True)
class Column(Generic[Record]):
    """A fact: its title, how it is shown, and what it is sorted by."""

    title: Text
    shown: Callable[[Record], Text | str]
    key: Callable[[Record], float | str]
    right: bool = False


class RecordTable(QAbstractTableModel, Generic[Record]):
    """Rows in the order they were given in, until somebody sorts."""

    def __init__(self, columns: Sequence[Column[Record]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self.records: list[Record] = []

    def show_records(self, records: list[Record]) -> None:
        """Show other records."""
        self.beginResetModel()
        self.records = records
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Return the number of records."""
        return 0 if parent.isValid() else len(self.records)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Return the number of facts."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> object:
        """Return the title of a column."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        column = self.columns[section]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):  # it may be cut
            return say(column.title)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return alignment(right=column.right)
        return None

    def data(self, index: Index, role: int = 0) -> object:
        """Return what a cell shows, or its record."""
        if not index.isValid() or index.row() >= len(self.records):
            return None
        column = self.columns[index.column()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return say(column.shown(self.records[index.row()]))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return alignment(right=column.right)
        if role == RECORD_ROLE:
            return self.records[index.row()]
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order the records by one fact; what is selected stays selected."""
        if not 0 <= column < len(self.columns):
            return
        self.layoutAboutToBeChanged.emit()
        before = self.records
        self.records = in_order(before, self.columns[column], order)
        place = {id(record): row for row, record in enumerate(self.records)}
        old = self.persistentIndexList()
        new = [self.index(place[id(before[index.row()])], index.column()) for index in old]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()


def in_order(records: list[Record], column: Column[Record], order: Qt.SortOrder) -> list[Record]:
    """Return the records ordered by one fact; equal ones stay as they were."""
    return sorted(records, key=column.key, reverse=order == Qt.SortOrder.DescendingOrder)


def alignment(*, right: bool) -> int:
    """Return Qt's flags for a cell."""
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    return int((side | Qt.AlignmentFlag.AlignVCenter).value)
