"""What a search found: repositories of the Hub, or models of the catalogue with what is recommended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from localllm.texts import Bytes, Moment, Number, Text, plural, text
from localllm.ui.translation import say
from localllm.ui.verdicts import speed_of, tint_of, word_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.catalogue import CatalogueModel
    from localllm.core.hub.records import SearchHit
    from localllm.core.recommend import Choice
    from localllm.ui.verdicts import Tint

FOUND_ROLE = Qt.ItemDataRole.UserRole + 1
Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Found:
    """One row.

    Attributes:
        repository: "owner/name" on the Hub.
        lines: Under the name.
        pill: A word and its tint, None for none.
        model: The catalogue's, None for what only the Hub knows.
    """

    repository: str
    name: str
    lines: tuple[str, str]
    pill: tuple[str, Tint] | None = None
    model: CatalogueModel | None = None


def found_of_hit(hit: SearchHit) -> Found:
    """Describe a repository of the Hub."""
    owner, _, name = hit.id.partition("/")
    mark = text("private") if hit.private else text("licence to accept") if hit.gated else ""
    size = parameters_of(hit.parameters)
    day = text("{day}", day=Moment(hit.updated.timestamp())) if hit.updated else ""
    numbers = popularity_of(hit.downloads, hit.likes)
    pill: tuple[str, Tint] | None = (say(mark), "tight") if mark else None
    return Found(hit.id, name, (_joined(owner, size, hit.licence), _joined(numbers, day)), pill)


def found_of_model(model: CatalogueModel) -> Found:
    """Describe a model of the catalogue."""
    first = _joined(model.developer, parameters_of(model.parameters), model.license)
    return Found(model.repo, model.name, (first, _joined(model.repo, model.release)), None, model)


def found_of_choice(choice: Choice) -> Found:
    """Describe a model of the catalogue with what is recommended of it here."""
    model = choice.model
    first = _joined(model.developer, parameters_of(model.parameters), model.license)
    second = _joined(choice.quant, text("{size}", size=Bytes(choice.size)), speed_of(choice))
    return Found(
        model.repo,
        model.name,
        (first, second),
        (say(word_of(choice.verdict)), tint_of(choice.verdict)),
        model,
    )


def parameters_of(count: int | None) -> Text | str:
    """Return the number of weights as people say it: "3.2 B", "135 M"."""
    if not count:
        return ""
    if count < 0.95e9:
        return text("{count} M", count=Number(count / 1e6))
    return text("{count} B", count=Number(count / 1e9, 1))


def count_of(number: int) -> Text | str:
    """Return a large number in short."""
    if number >= 1_000_000:
        return text("{count} M", count=Number(number / 1e6, 1))
    return text("{count} k", count=Number(number / 1e3)) if number >= 10_000 else str(number)


def popularity_of(downloads: int, likes: int) -> Text:
    """Return how often a repository was downloaded and liked."""
    sentences = (
        plural(downloads, "1 download", "{number} downloads", number=count_of(downloads)),
        plural(likes, "1 like", "{number} likes", number=count_of(likes)),
    )
    return text("{downloads} · {likes}", downloads=sentences[0], likes=sentences[1])


def _joined(*parts: Text | str) -> str:
    return " · ".join(said for part in parts if (said := say(part)))


class FoundItemModel(QAbstractListModel):
    """The rows in the order in which they were found."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[Found, ...] = ()

    def show_rows(self, rows: Sequence[Found]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self._rows = tuple(rows)
        self.endResetModel()

    def row_of(self, repository: str) -> int:
        """Return the row of a repository, -1 if it is not there."""
        return next((row for row, found in enumerate(self._rows) if found.repository == repository), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = 0) -> object:
        """Return the name, what a screen reader says, or the record."""
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        found = self._rows[index.row()]
        answers: dict[int, Callable[[], object]] = {
            Qt.ItemDataRole.DisplayRole: lambda: found.name,
            Qt.ItemDataRole.ToolTipRole: lambda: found.repository,
            Qt.ItemDataRole.AccessibleDescriptionRole: lambda: _joined(
                *([found.pill[0]] if found.pill else []), *found.lines
            ),
            FOUND_ROLE: lambda: found,
        }
        answer = answers.get(role)
        return answer() if answer else None
