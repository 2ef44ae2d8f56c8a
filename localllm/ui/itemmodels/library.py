"""The models on this disk, each with what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from localllm.texts import Bytes, Text, text
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.estimate import Estimate
    from localllm.core.library import LibraryModel

MODEL_ROLE = Qt.ItemDataRole.UserRole + 1
FIT_ROLE = Qt.ItemDataRole.UserRole + 2  # `Estimate`, None while not known
DETAIL_ROLE = Qt.ItemDataRole.UserRole + 3
Index = QModelIndex | QPersistentModelIndex


class LibraryItemModel(QAbstractListModel):
    """One row for each model file."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models: list[LibraryModel] = []
        self._fits: dict[str, Estimate | None] = {}

    def show_models(self, models: Sequence[LibraryModel]) -> None:
        """Show these models."""
        self.beginResetModel()
        self._models = list(models)
        self.endResetModel()

    def add_model(self, model: LibraryModel) -> int:
        """Put a model at the end, unless it is there; return its row."""
        row = self.row_of(str(model.path))
        if row < 0:
            row = len(self._models)
            self.beginInsertRows(QModelIndex(), row, row)
            self._models.append(model)
            self.endInsertRows()
        return row

    def set_fit(self, path: str, answer: Estimate | None) -> None:
        """Say what a model takes."""
        self._fits[path] = answer
        row = self.row_of(path)
        if row >= 0:
            self.dataChanged.emit(self.index(row), self.index(row))

    def row_of(self, path: str) -> int:
        """Return the row of a file, -1 if it is not there."""
        return next((row for row, model in enumerate(self._models) if str(model.path) == path), -1)

    def model_at(self, row: int) -> LibraryModel:
        """Return the model of a row."""
        return self._models[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Return the number of models."""
        return 0 if parent.isValid() else len(self._models)

    def data(self, index: Index, role: int = 0) -> object:
        """Return name, details, or the record."""
        if not index.isValid() or index.row() >= len(self._models):
            return None
        model = self._models[index.row()]
        answers: dict[int, Callable[[], object]] = {
            Qt.ItemDataRole.DisplayRole: lambda: model.name,
            Qt.ItemDataRole.ToolTipRole: lambda: str(model.path),
            Qt.ItemDataRole.AccessibleDescriptionRole: lambda: say(describe_model(model)),
            DETAIL_ROLE: lambda: say(describe_model(model)),
            MODEL_ROLE: lambda: model,
            FIT_ROLE: lambda: self._fits.get(str(model.path)),
        }
        answer = answers.get(role)
        return answer() if answer else None


def describe_model(model: LibraryModel) -> Text:
    """Return quantization and size, or what is wrong with the file."""
    if model.problem is not None:
        return model.problem
    size = Bytes(model.size)
    if model.starter:
        return text("{quant} · {size} · starter model", quant=model.quant, size=size)
    return text("{quant} · {size}", quant=model.quant, size=size)
