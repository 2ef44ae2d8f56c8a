"""The table of the Library page: every model on this disk with the facts one looks for first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from localllm.core.library.model import SOURCE_NAMES
from localllm.texts import Bytes, Moment, Number, Text, plural, text
from localllm.ui.itemmodels.records import Column, Index, RecordTable
from localllm.ui.translation import say

if TYPE_CHECKING:
    from localllm.core.library import LibraryModel

STAR, NAME, QUANT, SIZE, PARAMETERS, STATE, USED = range(7)
DETAIL_ROLE = Qt.ItemDataRole.UserRole + 2
TOKEN_ROLE = Qt.ItemDataRole.UserRole + 3  # the colour token of a state
_DAY = 86_400  # seconds


def model_columns() -> tuple[Column[LibraryModel], ...]:
    """Return the columns of the table, in the order of their constants."""
    return (
        Column(text("Favourite"), lambda m: "", lambda m: -float(m.favourite)),
        Column(text("Name"), lambda m: m.name, lambda m: m.name.lower()),
        Column(text("Quant"), lambda m: m.quant or "–", lambda m: m.quant),
        Column(text("Size"), lambda m: text("{size}", size=Bytes(m.size)), lambda m: m.size, right=True),
        Column(text("Parameters"), parameters_of, lambda m: m.parameters or 0, right=True),
        Column(text("State"), lambda m: state_of(m)[0], _rank_of),
        Column(text("Last used"), lambda m: day_of(m.last_used), lambda m: -m.last_used),
    )


class ModelsTable(RecordTable["LibraryModel"]):
    """One row for each model."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(model_columns(), parent)
        self._rows: dict[str, int] = {}

    def show_records(self, records: list[LibraryModel]) -> None:
        """Show other models."""
        self._rows = {str(model.path): row for row, model in enumerate(records)}
        super().show_records(records)

    def row_of(self, path: str) -> int:
        """Return the row of a file, -1 if it is not there."""
        return self._rows.get(path, -1)

    def replace(self, model: LibraryModel) -> None:
        """Show one model as it is now."""
        row = self.row_of(str(model.path))
        if row >= 0:
            self.records[row] = model
            self.dataChanged.emit(self.index(row, 0), self.index(row, self.columnCount() - 1))

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> object:
        """Return the title of a column; that of the stars has room only in its tool tip."""
        title = role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole)
        if section == STAR and orientation == Qt.Orientation.Horizontal:
            return say(self.columns[STAR].title) if title else None
        return super().headerData(section, orientation, role)

    def data(self, index: Index, role: int = 0) -> object:
        """Return what a cell shows, its second line, its colour, and what is read aloud."""
        if not index.isValid() or index.row() >= len(self.records):
            return None
        model, column = self.records[index.row()], index.column()
        if role == Qt.ItemDataRole.ToolTipRole:
            return say(_tip(model, column))
        if role == DETAIL_ROLE and column == NAME:
            return say(model.problem or detail_of(model))
        if role == TOKEN_ROLE:
            return state_of(model)[1]
        if role == Qt.ItemDataRole.AccessibleTextRole and column in (STAR, NAME):
            return say(_spoken(model, column))
        return super().data(index, role)


_RANKS = {"checked": 0, "unchecked": 1, "changed": 2, "damaged": 3}


def _rank_of(model: LibraryModel) -> float:
    return _RANKS[model.state] if model.problem is None else 4


def state_of(model: LibraryModel) -> tuple[Text, str]:
    """Return the word for a model's state, and its colour token."""
    if model.problem is not None:
        return text("Refused"), "danger"
    return _states()[model.state]


def state_words() -> list[Text]:
    """Return every word that a state can have."""
    return [text("Refused"), *(words for words, _token in _states().values())]


def explain_state(model: LibraryModel) -> Text:
    """Return a sentence on what a model's state means."""
    if model.problem is not None:
        return model.problem
    sentences = {
        "checked": text("Its hash has been computed; a change on disk will be noticed."),
        "unchecked": text("Its header is sound; its hash has not been computed yet."),
        "changed": text("The file has changed since its hash was computed."),
        "damaged": text("Its hash is not the one that its source gives."),
    }
    return sentences[model.state]


def _states() -> dict[str, tuple[Text, str]]:
    return {
        "checked": (text("Ready"), "success"),
        "unchecked": (text("Not checked"), "muted"),
        "changed": (text("Changed"), "warning"),
        "damaged": (text("Damaged"), "danger"),
    }


def source_of(model: LibraryModel) -> Text:
    """Return whose model it is."""
    if model.source in SOURCE_NAMES:
        return text("{application}", application=SOURCE_NAMES[model.source])
    if model.source == "starter":
        return text("Starter model")
    return text("LocalLLM") if model.source == "own" else text("Own folder")


def detail_of(model: LibraryModel) -> Text:
    """Return architecture and source, with the number of files where there are several."""
    source = source_of(model)
    if not model.architecture:
        return source
    if model.parts > 1:
        return text(
            "{architecture} · {source} · {count} files",
            architecture=model.architecture,
            source=source,
            count=model.parts,
        )
    return text("{architecture} · {source}", architecture=model.architecture, source=source)


def parameters_of(model: LibraryModel) -> Text | str:
    """Return the number of weights as people say it: "8.03 B", "135 M"."""
    count = model.parameters or 0
    if count >= 1e9:
        return text("{count} B", count=Number(count / 1e9, 2 if count < 1e10 else 1))
    return text("{count} M", count=Number(count / 1e6, 0 if count >= 1e7 else 2)) if count else "–"


def day_of(when: float) -> Text | str:
    """Return how long ago something was, in days."""
    if not when:
        return text("Never")
    days = int(time.time() // _DAY - when // _DAY)
    if days <= 0:
        return text("Today")
    if days < 60:
        return plural(days, "Yesterday", "{count} days ago")
    return text("{day}", day=Moment(when))


def _tip(model: LibraryModel, column: int) -> Text | str:
    if column == STAR:
        return text("A favourite") if model.favourite else text("No favourite")
    if column == STATE or model.problem is not None:
        return explain_state(model)
    return str(model.path)


def _spoken(model: LibraryModel, column: int) -> Text:
    if column == STAR:
        return text("A favourite") if model.favourite else text("No favourite")
    return text("{name}, {details}", name=model.name, details=model.problem or detail_of(model))
