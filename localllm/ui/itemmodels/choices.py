"""The ranked table of the recommendation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from localllm.texts import Bytes, Number, Text, text
from localllm.ui.translation import say
from localllm.ui.verdicts import speed_of, word_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.recommend import Choice

SORT_ROLE = Qt.ItemDataRole.UserRole
CHOICE_ROLE = Qt.ItemDataRole.UserRole + 1
Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class _Column:
    title: Text
    shown: Callable[[Choice], Text | str]
    raw: Callable[[Choice], float | str]  # no int: Qt compares one above 2^31 wrongly with one below
    right: bool = True


def _columns() -> tuple[_Column, ...]:
    return (
        _Column(text("Model"), lambda c: c.model.name, lambda c: c.model.name.lower(), right=False),
        _Column(text("Quant"), lambda c: c.quant, lambda c: c.quant, right=False),
        _Column(text("Download"), lambda c: text("{size}", size=Bytes(c.size)), lambda c: float(c.size)),
        _Column(
            text("Memory"),
            lambda c: text("{size}", size=Bytes(c.memory.total)),
            lambda c: float(c.memory.total),
        ),
        _Column(text("Speed"), speed_of, lambda c: c.pace),
        _Column(
            text("Quality"),
            lambda c: text("{score}", score=Number(c.quality.score, 0)),
            lambda c: c.quality.score,
        ),
        _Column(text("Fit"), lambda c: word_of(c.verdict), lambda c: c.verdict, right=False),
        _Column(text("Licence"), lambda c: c.model.license, lambda c: c.model.license.lower(), right=False),
    )


class ChoicesItemModel(QAbstractTableModel):
    """One row for each model and quantization, best first."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._columns = _columns()
        self._choices: list[Choice] = []

    def show_choices(self, choices: Sequence[Choice]) -> None:
        """Show another ranking."""
        self.beginResetModel()
        self._choices = list(choices)
        self.endResetModel()

    @property
    def verdict_column(self) -> int:
        """Where the verdict stands."""
        return next(n for n, column in enumerate(self._columns) if column.title.template == "Fit")

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Return the number of choices."""
        return 0 if parent.isValid() else len(self._choices)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Return the number of facts."""
        return 0 if parent.isValid() else len(self._columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> object:
        """Return the title of a column."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self._columns):
            return None
        column = self._columns[section]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):  # it may be cut
            return say(column.title)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(right=column.right)
        return None

    def data(self, index: Index, role: int = 0) -> object:
        """Return what a cell shows, or the number it is sorted by."""
        if not index.isValid() or index.row() >= len(self._choices):
            return None
        choice, column = self._choices[index.row()], self._columns[index.column()]
        answers: dict[int, Callable[[], object]] = {
            Qt.ItemDataRole.DisplayRole: lambda: say(column.shown(choice)),
            Qt.ItemDataRole.ToolTipRole: lambda: say(choice.why_not or choice.reason),
            Qt.ItemDataRole.TextAlignmentRole: lambda: _alignment(right=column.right),
            SORT_ROLE: lambda: column.raw(choice),
            CHOICE_ROLE: lambda: choice,
        }
        answer = answers.get(role)
        return answer() if answer else None


def _alignment(*, right: bool) -> int:
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    return int((side | Qt.AlignmentFlag.AlignVCenter).value)
