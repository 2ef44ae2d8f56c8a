"""The lists of the Lab's Quality tab: models to tick, and what was measured of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, Qt, Signal

from localllm.texts import Bytes, Number, Text, text
from localllm.ui.itemmodels.library import describe_model
from localllm.ui.itemmodels.records import Column, Index, RecordTable
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.evaluate import Group, Row
    from localllm.core.library import LibraryModel

_UNKNOWN = "–"
_FAR = 1e9  # sorts what was not compared behind everything


class ModelChecks(QAbstractListModel):
    """Models with a tick before each; what is ticked stays so while others are searched for.

    Signals:
        ticked: Other models are ticked than before.
    """

    ticked = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._all: list[LibraryModel] = []
        self._shown: list[LibraryModel] = []
        self._paths: set[str] = set()
        self._words: list[str] = []

    @property
    def every(self) -> list[LibraryModel]:
        """All models, searched for or not."""
        return list(self._all)

    @property
    def chosen(self) -> list[LibraryModel]:
        """What is ticked."""
        return [model for model in self._all if str(model.path) in self._paths]

    def show_models(self, models: Sequence[LibraryModel]) -> None:
        """Show other models."""
        self._all = list(models)
        self._paths &= {str(model.path) for model in models}
        self._filter()

    def search(self, words: str) -> None:
        """Show those in whose names every word occurs."""
        self._words = words.lower().split()
        self._filter()

    def choose(self, models: Sequence[LibraryModel]) -> None:
        """Tick these alone."""
        self._paths = {str(model.path) for model in models}
        self._filter()
        self.ticked.emit()

    def row_of(self, path: str) -> int:
        """Return the row of a file, -1 if it is not shown."""
        return next((row for row, model in enumerate(self._shown) if str(model.path) == path), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Return the number of models that are shown."""
        return 0 if parent.isValid() else len(self._shown)

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Let every row be ticked."""
        return super().flags(index) | Qt.ItemFlag.ItemIsUserCheckable

    def data(self, index: Index, role: int = 0) -> object:
        """Return name, tick and details."""
        if not index.isValid() or index.row() >= len(self._shown):
            return None
        model = self._shown[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return say(text("{name} · {details}", name=model.name, details=describe_model(model)))
        if role == Qt.ItemDataRole.CheckStateRole:
            return Qt.CheckState.Checked if str(model.path) in self._paths else Qt.CheckState.Unchecked
        return str(model.path) if role == Qt.ItemDataRole.ToolTipRole else None

    def setData(self, index: Index, value: object, role: int = 0) -> bool:
        """Take a tick."""
        if role != Qt.ItemDataRole.CheckStateRole or not index.isValid():
            return False
        path = str(self._shown[index.row()].path)
        if Qt.CheckState(cast("int", value)) == Qt.CheckState.Checked:
            self._paths.add(path)
        else:
            self._paths.discard(path)
        self.dataChanged.emit(index, index)
        self.ticked.emit()
        return True

    def _filter(self) -> None:
        self.beginResetModel()
        self._shown = [
            model for model in self._all if all(word in model.name.lower() for word in self._words)
        ]
        self.endResetModel()


class MeasuredTable(RecordTable["Row"]):
    """One row for each model of a group."""

    def __init__(self, group: Group, parent: QObject | None = None) -> None:
        columns = {"quants": _quant_columns, "caches": _cache_columns, "plain": _plain_columns}
        super().__init__(columns[group.kind](), parent)
        self.show_records(list(group.rows))

    def row_of(self, row: Row) -> int:
        """Return where a row stands now."""
        return next((place for place, one in enumerate(self.records) if one == row), -1)


def name_of(row: Row) -> Text | str:
    """Return what a row is called: the model, with its cache where that is not f16."""
    if row.result is None:
        return text("Reference: {model}", model=row.model.name)
    if row.cache == "f16/f16":
        return row.model.name
    return text("{model}, {cache} cache", model=row.model.name, cache=cache_of(row))


def cache_of(row: Row) -> str:
    """Return the cache's types, one where both are the same."""
    keys, _, values = row.cache.partition("/")
    return keys if keys == values else row.cache


def speed_of(row: Row) -> Text | str:
    """Return tokens per second, marked where nobody has measured them."""
    speed = row.model.speed
    if speed is None:
        return _UNKNOWN
    number = Number(speed, 1 if speed < 10 else 0)
    return text("{speed}" if row.model.speed_measured else "~{speed}", speed=number)


def _quant_columns() -> tuple[Column[Row], ...]:
    return (
        Column(text("Model"), name_of, lambda row: row.model.name.lower()),
        _size_column(),
        _speed_column(),
        *_comparison_columns(),
        Column(text("Worth having"), _worth, lambda row: -float(bool(row.point and row.point.on_front))),
    )


def _cache_columns() -> tuple[Column[Row], ...]:
    return (
        Column(text("Cache"), cache_of, cache_of),
        *_comparison_columns(),
        Column(text("Perplexity"), _perplexity, _perplexity_key, right=True),
    )


def _plain_columns() -> tuple[Column[Row], ...]:
    return (
        Column(text("Model"), name_of, lambda row: row.model.name.lower()),
        _size_column(),
        _speed_column(),
        Column(text("Perplexity"), _perplexity, _perplexity_key, right=True),
    )


def _size_column() -> Column[Row]:
    return Column(
        text("Size"),
        lambda row: text("{size}", size=Bytes(row.model.size)),
        lambda row: row.model.size,
        right=True,
    )


def _speed_column() -> Column[Row]:
    return Column(text("Tokens/s"), speed_of, lambda row: row.model.speed or 0.0, right=True)


def _comparison_columns() -> tuple[Column[Row], Column[Row]]:
    return (
        Column(text("Divergence"), _divergence, _divergence_key, right=True),
        Column(text("Same first choice"), _same_top, lambda row: -_share(row), right=True),
    )


def _divergence(row: Row) -> Text | str:
    if row.result is None:
        return "0"
    comparison = row.result.figures.comparison
    if comparison is None:
        return _UNKNOWN
    mean = comparison.divergence.mean
    return text("{value} ± {error}", value=Number(mean.value, 5), error=Number(mean.error, 5))


def _divergence_key(row: Row) -> float:
    if row.result is None:
        return 0.0
    comparison = row.result.figures.comparison
    return comparison.divergence.mean.value if comparison else _FAR


def _share(row: Row) -> float:
    if row.result is None:
        return 1.0
    comparison = row.result.figures.comparison
    return comparison.same_top.value if comparison else 0.0


def _same_top(row: Row) -> Text | str:
    if row.result is not None and row.result.figures.comparison is None:
        return _UNKNOWN
    return text("{percent} %", percent=Number(100 * _share(row), 1))


def _perplexity(row: Row) -> Text | str:
    if row.result is None:
        return _UNKNOWN
    ppl = row.result.figures.ppl
    return text("{value} ± {error}", value=Number(ppl.value, 3), error=Number(ppl.error, 3))


def _perplexity_key(row: Row) -> float:
    return row.result.figures.ppl.value if row.result else _FAR


def _worth(row: Row) -> Text | str:
    if row.point is None:
        return ""
    return text("Yes") if row.point.on_front else text("No")
