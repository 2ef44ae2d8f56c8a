"""The types that a model can be quantized to, each with the size that it would have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from localllm.core.quantize.types import TYPES
from localllm.texts import Bytes, Number, Text, text
from localllm.ui.itemmodels.records import Column, Index, RecordTable
from localllm.ui.translation import say

if TYPE_CHECKING:
    from localllm.core.quantize.types import QuantType

NAME, BITS, SIZE, GOOD_FOR = range(4)


@dataclass(frozen=True)
class TypeRow:
    """One type.

    Attributes:
        size: Bytes of the result, 0 while nothing is known.
        exact: Whether that was planned, not only estimated from the bits.
        refusal: Why it is not possible.
    """

    kind: QuantType
    size: int = 0
    exact: bool = False
    refusal: Text | None = None


class QuantTypesTable(RecordTable[TypeRow]):
    """One row for each type, from the largest to the smallest."""

    def __init__(self, parent: QObject | None = None) -> None:
        columns: tuple[Column[TypeRow], ...] = (
            Column(text("Type"), lambda row: row.kind.name, lambda row: row.kind.name),
            Column(text("Bits"), _bits, lambda row: row.kind.bits, right=True),
            Column(text("Size"), _size, lambda row: row.size, right=True),
            Column(text("Good for"), _good_for, lambda row: say(_good_for(row))),
        )
        super().__init__(columns, parent)
        self.show_records([TypeRow(kind) for kind in TYPES.values()])

    def estimate(self, weights: int, own_size: int) -> None:
        """Show sizes of a model with so many weights, as far as the bits alone tell them."""
        self.show_records(
            [
                TypeRow(kind, own_size if kind.copies else round(weights * kind.bits / 8))
                for kind in TYPES.values()
            ]
        )

    def show_planned(self, name: str, size: int, refusal: Text | None = None) -> None:
        """Show what a type would really give."""
        row = self.row_of(name)
        self.records[row] = replace(self.records[row], size=size, exact=True, refusal=refusal)
        self.dataChanged.emit(self.index(row, 0), self.index(row, self.columnCount() - 1))

    def row_of(self, name: str) -> int:
        """Return the row of a type."""
        return next(number for number, row in enumerate(self.records) if row.kind.name == name)

    def data(self, index: Index, role: int = 0) -> object:
        """Return what a cell shows; its tool tip says everything of the type."""
        if role == Qt.ItemDataRole.ToolTipRole and index.isValid() and index.row() < len(self.records):
            return _tip(self.records[index.row()])
        return super().data(index, role)


def _bits(row: TypeRow) -> Text | str:
    return text("{bits}", bits=Number(row.kind.bits, 2)) if row.kind.bits else "–"


def _size(row: TypeRow) -> Text | str:
    if row.refusal is not None or not row.size:
        return "–"
    return text("{size}" if row.exact else "≈ {size}", size=Bytes(row.size))


def _good_for(row: TypeRow) -> Text:
    if row.kind.imatrix == "needed":
        return text(
            "{description} Needs an importance matrix.", description=row.refusal or row.kind.description
        )
    return row.refusal or row.kind.description


def _tip(row: TypeRow) -> str:
    said = [say(_good_for(row))]
    if row.kind.imatrix == "helps":
        said.append(say(text("An importance matrix makes it better.")))
    if row.refusal is None and row.size and not row.exact:
        said.append(say(text("The size is estimated; the plan gives the exact one.")))
    return " ".join(said)
