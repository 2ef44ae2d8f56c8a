"""Weights of eight bits with a scale for all, for each row, for each group of columns or for each block."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from localllm.core.convert.tensors import Computed, as_float32

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from localllm.core.convert.dequantize.parts import Parts
    from localllm.core.convert.tensors import Tensor

Shape = tuple[int, ...]
Block = tuple[int, int]


def scaled(
    parts: Parts,
    weight: Tensor,
    scale: Tensor,
    blocks: Sequence[Block] = (),
    zero: Tensor | None = None,
) -> Tensor:
    """Return (weight - zero) · scale.

    Args:
        parts: For what to say if the shapes do not fit.
        weight: [rows, columns], or a stack of such matrices.
        scale: One number for everything, or one for each block.
        blocks: Rows and columns of the blocks that are possible; the last blocks of a weight may be smaller.
            Without them: each row, or each matrix of a stack.
        zero: Shaped as the scale is.

    Raises:
        CheckpointRefused: The shapes do not fit.
    """
    steps = _steps(parts, weight.shape, scale, blocks)
    if zero is not None:
        parts.check(zero, scale.shape)

    def make(first: int, last: int) -> NDArray[np.float32]:
        values = as_float32(weight.read(first, last), weight.dtype)
        if zero is not None:
            values = values - _spread(zero, values.shape, steps, first, last)
        return values * _spread(scale, values.shape, steps, first, last)

    sources = (weight, scale) if zero is None else (weight, scale, zero)
    return Computed(weight.name, weight.shape, "F32", make, sources=sources)


def _steps(parts: Parts, shape: Shape, scale: Tensor, blocks: Sequence[Block]) -> Shape:
    """Return over how many elements of each dimension one scale reaches."""
    if len(shape) < 2 or not prod(shape):
        raise parts.misfit(f"the weight is {shape}")
    if prod(scale.shape) == 1:
        return shape
    stack = (1,) * (len(shape) - 2)
    said = scale.shape + (1,) * (len(shape) - len(scale.shape))
    for block in blocks or [(1, shape[-1]), shape[-2:]]:
        steps = stack + block
        if said == tuple(-(-size // step) for size, step in zip(shape, steps, strict=True)):
            return steps
    raise parts.misfit(f"{scale.name} is {scale.shape} for a weight of {shape}, blocks of {blocks}")


def _spread(scale: Tensor, shape: Shape, steps: Shape, first: int, last: int) -> NDArray[np.float32]:
    """Return the scales of the rows from `first` to before `last`, so that the two can be multiplied."""
    step = steps[0]
    values = scale.read(first // step, -(-last // step)) if scale.shape else scale.read()
    values = as_float32(values, scale.dtype)
    values = values.reshape(values.shape + (1,) * (len(shape) - values.ndim))
    if step > 1 and len(values) > 1:
        values = np.repeat(values, step, axis=0)[first % step :][: last - first]
    for axis in range(1, len(shape)):
        if values.shape[axis] > 1 and steps[axis] > 1:
            values = np.repeat(values, steps[axis], axis=axis)
            values = values[(slice(None),) * axis + (slice(shape[axis]),)]
    return values
