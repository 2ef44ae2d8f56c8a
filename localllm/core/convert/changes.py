"""What can be done to a weight on its way: each function gives a new one, of known shape, and reads nothing.

Bits are moved as they are stored; only what calculates turns them into float32 (float16 stays float16, as in
the reference).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from localllm.core.convert.safetensors import Stored
from localllm.core.convert.tensors import Array, Computed, as_float32

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.convert.tensors import Tensor


@dataclass(frozen=True, slots=True)
class Stacked:
    """Weights of one shape as one with a further dimension in front: written part by part, never together."""

    name: str
    parts: tuple[Tensor, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of parts, then the shape of each."""
        return (len(self.parts), *self.parts[0].shape)

    @property
    def dtype(self) -> str:
        """That of the parts."""
        return self.parts[0].dtype

    def read(self, first: int = 0, last: int | None = None) -> Array:
        """Return the parts from `first` to before `last`, stacked."""
        return np.stack([part.read() for part in self.parts[first:last]])


def moved(
    tensor: Tensor, shape: tuple[int, ...], make: Callable[[int, int], Array], *, whole: bool = False
) -> Tensor:
    """A weight of another shape whose rows `make` takes from `tensor`, of the same type."""
    return Computed(tensor.name, shape, tensor.dtype, make, whole=whole, sources=(tensor,))


def calculated(tensor: Tensor, function: Callable[[Array], Array], *, whole: bool = False) -> Tensor:
    """Each value changed by `function`, which gets float32, or float16 where that is stored; shapes stay.

    With `whole`, the function sees the whole weight at once.
    """
    dtype = "F16" if tensor.dtype == "F16" else "F32"

    def make(first: int, last: int) -> Array:
        if not whole:
            return function(numbers(tensor, first, last))
        return function(numbers(tensor))[first:last]

    return Computed(tensor.name, tensor.shape, dtype, make, whole=whole, sources=(tensor,))


def numbers(tensor: Tensor, first: int = 0, last: int | None = None) -> Array:
    """Read rows as float32, or as float16 where that is stored."""
    values = tensor.read(first, last)
    return values if tensor.dtype == "F16" else as_float32(values, tensor.dtype)


def plus_one(tensor: Tensor) -> Tensor:
    """Add one to each value: norms that are stored around zero."""
    return calculated(tensor, lambda values: values + values.dtype.type(1))


def interleaved_halves(tensor: Tensor, heads: int) -> Tensor:
    """Within each head, rows 0 … d/2−1 and d/2 … d−1 become 0, d/2, 1, d/2+1 …: rotation in pairs.

    Raises:
        ValueError: The rows are not heads times an even number.
    """
    if not heads or tensor.shape[0] % (2 * heads):
        message = f"{tensor.name}: {tensor.shape[0]} rows are not {heads} heads of an even size"
        raise ValueError(message)
    head = tensor.shape[0] // heads

    def make(first: int, last: int) -> Array:
        blocks: list[Array] = []
        for start in range(first - first % head, last, head):
            low, high = max(first - start, 0) // 2, (min(last - start, head) + 1) // 2
            halves = [tensor.read(start + half + low, start + half + high) for half in (0, head // 2)]
            pairs = np.stack(halves, axis=1).reshape(-1, *tensor.shape[1:])
            skipped = max(first - start, 0) - 2 * low
            blocks.append(pairs[skipped : skipped + min(last, start + head) - max(first, start)])
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    return moved(tensor, tensor.shape, make)


def rows(tensor: Tensor, start: int, stop: int) -> Tensor:
    """The rows from `start` to before `stop`."""
    shape = (stop - start, *tensor.shape[1:])
    return moved(tensor, shape, lambda first, last: tensor.read(start + first, start + last))


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Weights one below the other."""
    starts = np.cumsum([0, *(part.shape[0] for part in parts)]).tolist()

    def make(first: int, last: int) -> Array:
        pieces = [
            part.read(max(first - start, 0), min(last - start, part.shape[0]))
            for part, start in zip(parts, starts, strict=False)
            if start < last and start + part.shape[0] > first
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    shape = (starts[-1], *parts[0].shape[1:])
    return Computed(parts[0].name, shape, parts[0].dtype, make, sources=tuple(parts))


def picked_rows(tensor: Tensor, order: Sequence[int] | Array) -> Tensor:
    """The rows of these numbers, in this order; where they follow each other they are read in one piece."""
    wanted = np.asarray(order, dtype=np.int64)

    def make(first: int, last: int) -> Array:
        numbers_ = wanted[first:last]
        cuts = np.flatnonzero(np.diff(numbers_) != 1) + 1
        if len(cuts) > len(numbers_) // 4:
            low, high = int(numbers_.min()), int(numbers_.max()) + 1
            return tensor.read(low, high)[numbers_ - low]
        runs = np.split(numbers_, cuts)
        return np.concatenate([tensor.read(int(run[0]), int(run[-1]) + 1) for run in runs])

    return moved(tensor, (len(wanted), *tensor.shape[1:]), make)


def picked_columns(tensor: Tensor, order: Sequence[int] | Array) -> Tensor:
    """The entries of these numbers along the last dimension, in this order."""
    wanted = np.asarray(order, dtype=np.int64)
    shape = (*tensor.shape[:-1], len(wanted))
    return moved(tensor, shape, lambda first, last: tensor.read(first, last)[..., wanted])


def parts_of(tensor: Tensor) -> list[Tensor]:
    """The weights that one with three or more dimensions is a stack of."""

    def part(number: int) -> Tensor:
        if isinstance(tensor, Stacked):
            return tensor.parts[number]
        if isinstance(tensor, Stored):
            return tensor.part(number)
        shape = tensor.shape[1:]
        return moved(
            tensor,
            shape,
            lambda first, last: tensor.read(number, number + 1)[0][first:last],
            whole=len(shape) > 1,
        )

    return [part(number) for number in range(tensor.shape[0])]


def each_part(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The same change for each weight of a stack.

    Raises:
        ValueError: There is none.
    """
    parts = parts_of(tensor)
    if not parts:
        message = f"{tensor.name}: {tensor.shape} is no stack"
        raise ValueError(message)
    return Stacked(tensor.name, tuple(change(part) for part in parts))


def transposed(tensor: Tensor) -> Tensor:
    """Rows and columns exchanged; in a stack, those of each part."""
    if len(tensor.shape) > 2:
        return each_part(tensor, transposed)
    shape = tensor.shape[::-1]
    return moved(tensor, shape, lambda first, last: tensor.read().T[first:last], whole=True)


def squeezed(tensor: Tensor) -> Tensor:
    """Without the dimensions of one element."""
    shape = tuple(size for size in tensor.shape if size != 1)
    if tensor.shape[:1] == (1,):
        return moved(tensor, shape, lambda first, last: tensor.read().reshape(shape)[first:last], whole=True)
    return reshaped_rows(tensor, shape)


def reshaped_rows(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same rows in another shape, their number being the same.

    Raises:
        ValueError: It is not.
    """
    if prod(shape) != prod(tensor.shape) or shape[:1] != tensor.shape[:1]:
        message = f"{tensor.name}: {tensor.shape} cannot be {shape}"
        raise ValueError(message)
    return moved(
        tensor, shape, lambda first, last: tensor.read(first, last).reshape(last - first, *shape[1:])
    )


def constant(name: str, values: Array) -> Tensor:
    """A weight that is not in the checkpoint, float32."""
    stored = values.astype(np.float32)
    return Computed(name, stored.shape, "F32", lambda first, last: stored[first:last])
