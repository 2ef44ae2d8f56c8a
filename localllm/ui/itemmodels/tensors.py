"""The table of a model's tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.texts import Bytes, Number, text
from localllm.ui.itemmodels.records import Column, RecordTable

if TYPE_CHECKING:
    from PySide6.QtCore import QObject

    from localllm.core.library.tensors import Tensor


class TensorsTable(RecordTable["Tensor"]):
    """One row for each tensor, in the order of the file."""

    def __init__(self, parent: QObject | None = None) -> None:
        columns: tuple[Column[Tensor], ...] = (
            Column(text("Name"), lambda t: t.name, lambda t: t.name),
            Column(text("Type"), lambda t: t.type_name, lambda t: t.type_name),
            Column(
                text("Shape"),
                lambda t: "×".join(map(str, t.shape)),
                lambda t: t.weights,
                right=True,
            ),
            Column(
                text("Bits"),
                lambda t: text("{bits}", bits=Number(t.bits_per_weight, 2)),
                lambda t: t.bits_per_weight,
                right=True,
            ),
            Column(text("Size"), lambda t: text("{size}", size=Bytes(t.size)), lambda t: t.size, right=True),
        )
        super().__init__(columns, parent)
