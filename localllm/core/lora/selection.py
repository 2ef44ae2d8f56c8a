"""What a rule of an architecture does to a weight, found out with weights that number their rows or columns.

Rules are written for whole weights. An adapter has only the factors of one, B·A; a rule that moves rows moves
those of B, one that moves columns those of A. Which it does is not written anywhere: a weight whose values
are the numbers of its rows tells it, and one with those of its columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from localllm.core.convert.changes import Stacked
from localllm.errors import CheckpointRefused
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from localllm.core.convert.outputs import Mapper, Output
    from localllm.core.convert.tensors import Array, Tensor

_FEW = 16  # columns, where a rule does not care how many there are
_BLOCK = 1 << 20  # values looked at at once
_MOST = 1 << 24  # whole numbers that float32 can tell apart

Numbering = Literal["rows", "columns"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A weight whose values are the numbers of its rows, or of its columns, times `factor`."""

    name: str
    shape: tuple[int, ...]
    numbering: Numbering = "rows"
    factor: int = 1
    dtype: str = "F32"

    def read(self, first: int = 0, last: int | None = None) -> Array:
        """Return rows; see `Tensor.read`."""
        rows = np.arange(self.shape[0], dtype=np.float32)[first:last]
        columns = np.arange(self.shape[1], dtype=np.float32)
        values = rows[:, None] if self.numbering == "rows" else columns
        return np.broadcast_to(values * np.float32(self.factor), (len(rows), self.shape[1]))


@dataclass(frozen=True, slots=True)
class Selection:
    """A weight of the file is these rows and columns of one in the checkpoint; None is all as they are."""

    rows: NDArray[np.int64] | None = None
    columns: NDArray[np.int64] | None = None


def selections(
    mapper: Mapper, name: str, shape: tuple[int, int]
) -> Iterator[tuple[str, list[str], list[Selection]]]:
    """Give what becomes of a weight: GGUF name, the checkpoint's weights in it (several experts), and how.

    Raises:
        CheckpointRefused: It has no place in the file, or becomes something that no LoRA can follow.
        ValueError: The shape is not what config.json says.
    """
    if max(shape) >= _MOST:
        raise _cannot(name)
    for number, output in enumerate(mapper.of_one(name, Probe(name, shape))):
        tensor = output.tensor
        if isinstance(tensor, Stacked):
            if not all(isinstance(part, Probe) for part in tensor.parts):
                raise _cannot(name)
            yield output.name, [part.name for part in tensor.parts], [Selection()] * len(tensor.parts)
        elif isinstance(tensor, Probe):
            yield output.name, [name], [Selection()]
        else:
            yield output.name, [name], [_Question(mapper, name, shape, number).selection()]


@dataclass(frozen=True, slots=True)
class _Question:
    """One weight of the file, the `number`th that a rule makes of this one."""

    mapper: Mapper
    name: str
    shape: tuple[int, int]
    number: int

    def selection(self) -> Selection:
        narrow = (self.shape[0], min(self.shape[1], _FEW))
        try:
            rows, columns = self._numbers("rows", narrow), self._numbers("columns", narrow)
        except (ValueError, IndexError):
            rows = columns = None
        if rows is not None and columns is not None and np.array_equal(columns, np.arange(narrow[1])):
            return Selection(rows)
        rows, columns = self._numbers("rows", self.shape), self._numbers("columns", self.shape)
        if rows is None or columns is None:
            raise _cannot(self.name)
        return Selection(
            None if np.array_equal(rows, np.arange(self.shape[0])) else rows,
            None if np.array_equal(columns, np.arange(self.shape[1])) else columns,
        )

    def _numbers(self, numbering: Numbering, shape: tuple[int, int]) -> NDArray[np.int64] | None:
        """Return the number in each row, or column; None if the rule does more than to move them."""
        found = self._read(numbering, shape, 1)
        twice = self._read(numbering, shape, 2)
        if found is None or twice is None or not np.array_equal(2 * found, twice):
            return None
        return found.astype(np.int64)

    def _read(self, numbering: Numbering, shape: tuple[int, int], factor: int) -> Array | None:
        tensor = self._made(Probe(self.name, shape, numbering, factor)).tensor
        if len(tensor.shape) != 2:
            return None
        found: list[Array] = []
        step = max(1, _BLOCK // tensor.shape[1])
        for first in range(0, tensor.shape[0], step):
            block = tensor.read(first, min(first + step, tensor.shape[0]))
            if numbering == "columns":
                found = found or [block[0].copy()]
                same = bool((block == found[0]).all())
            else:
                found.append(block[:, 0].copy())
                same = bool((block == block[:, :1]).all())
            if not same:
                return None
        return np.concatenate(found)

    def _made(self, tensor: Tensor) -> Output:
        return list(self.mapper.of_one(self.name, tensor))[self.number]


def _cannot(name: str) -> CheckpointRefused:
    return CheckpointRefused(
        text("This adapter changes “{name}”, which a GGUF stores in another way.", name=name),
        hint=text("Merge it into its model with PEFT, then convert the whole."),
    )
