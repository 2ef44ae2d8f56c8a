"""What the command palette lists, and how what is typed narrows and orders it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)

from localllm.core.matching import LETTERS_ONLY, distance, plain
from localllm.ui.translation import say, words_of_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.texts import Text, Translator

COMMAND_ROLE = Qt.ItemDataRole.UserRole + 1
Index = QModelIndex | QPersistentModelIndex
_NOT_THE_TITLE = 400  # farther than any word of a title


@dataclass(frozen=True)
class Command:
    """Something that can be done; `keys` does it from anywhere in the window.

    `kind` says what sort of thing it is, `words` what else it is found by; what is only `searched` is not
    listed before something is typed.
    """

    name: str
    title: Text | str
    run: Callable[[], object]
    keys: str = ""
    icon: str = ""
    kind: Text | None = None
    words: tuple[Text | str, ...] = ()
    searched: bool = False
    possible: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class _Names:
    """What a command is found by: its titles, or everything that is said of it; the window's tongue first."""

    titles: tuple[str, ...]
    rest: tuple[str, ...]

    def distance(self, typed: str) -> int | None:
        """Return how far what was typed is, None if too far: a word of a title is nearer than any other."""
        far = distance(typed, self.titles)
        if far is not None and far < LETTERS_ONLY:
            return far
        said = distance(typed, self.rest)
        return far if said is None or said >= LETTERS_ONLY else _NOT_THE_TITLE + said


class CommandsItemModel(QAbstractListModel):
    """One row for each command; it is found by its title and its words in every language of `tongues`."""

    def __init__(self, tongues: Sequence[Translator], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tongues = tongues
        self._commands: list[Command] = []
        self._names: list[_Names] = []

    def show_commands(self, commands: Sequence[Command]) -> None:
        """List these."""
        self.beginResetModel()
        self._commands = list(commands)
        self._names = [self._names_of(command) for command in commands]
        self.endResetModel()

    def add_commands(self, commands: Sequence[Command]) -> None:
        """List these too, at the end."""
        if commands:
            first = len(self._commands)
            self.beginInsertRows(QModelIndex(), first, first + len(commands) - 1)
            self._commands.extend(commands)
            self._names.extend(self._names_of(command) for command in commands)
            self.endInsertRows()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Return the number of commands."""
        return 0 if parent.isValid() else len(self._commands)

    def data(self, index: Index, role: int = 0) -> object:
        """Return the title, the rest of it for a screen reader, or the record."""
        if not index.isValid() or index.row() >= len(self._commands):
            return None
        command = self._commands[index.row()]
        kind = say(command.kind) if command.kind else ""
        answers: dict[int, Callable[[], object]] = {
            Qt.ItemDataRole.DisplayRole: lambda: say(command.title),
            Qt.ItemDataRole.AccessibleDescriptionRole: lambda: " · ".join(filter(None, (kind, command.keys))),
            COMMAND_ROLE: lambda: command,
        }
        answer = answers.get(role)
        return answer() if answer else None

    def distance(self, row: int, typed: str) -> int | None:
        """Return how far a row is from what was typed, plain words; None if it is not to be listed."""
        if not typed:
            return None if self._commands[row].searched else 0
        return self._names[row].distance(typed)

    def _names_of(self, command: Command) -> _Names:
        tongues = (words_of_window(), *self._tongues)
        titles = dict.fromkeys(plain(tongue.translate(command.title)) for tongue in tongues)
        said = (*((command.kind,) if command.kind else ()), command.title, *command.words)
        rest = dict.fromkeys(plain(" ".join(tongue.translate(words) for words in said)) for tongue in tongues)
        return _Names(tuple(titles), tuple(rest))


class MatchingCommands(QSortFilterProxyModel):
    """The commands that match, the nearest first; in their own order while nothing is typed."""

    def __init__(self, items: CommandsItemModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._items = items
        self._typed = ""
        self._far: list[int | None] = []  # of the rows, for what is typed now
        items.modelAboutToBeReset.connect(self._far.clear)
        self.setSourceModel(items)
        self.sort(0)

    def set_typed(self, words: str) -> None:
        """Narrow the list."""
        self._typed = plain(words)
        self._far.clear()
        self.invalidate()

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:
        """Tell whether a row matches."""
        del source_parent
        return self._distance(source_row) is not None

    def lessThan(self, source_left: Index, source_right: Index) -> bool:
        """Put the nearer one first, and of equal ones that which is listed first."""
        left, right = source_left.row(), source_right.row()
        return (self._distance(left) or 0, left) < (self._distance(right) or 0, right)

    def _distance(self, row: int) -> int | None:
        for further in range(len(self._far), row + 1):
            self._far.append(self._items.distance(further, self._typed))
        return self._far[row]
