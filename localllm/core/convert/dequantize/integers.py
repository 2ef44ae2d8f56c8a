"""Small integers, several in a word, with zero points and scales for groups of columns."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from localllm.core.convert.dequantize.parts import Parts
    from localllm.core.convert.tensors import Array, Tensor

Floats = NDArray[np.float32]
Groups = NDArray[np.int64]

WORD = 32  # bits


def packed_size(count: int, bits: int) -> int:
    """Return how many words hold this many integers."""
    return -(-count * bits // WORD)


def unpacked(words: Array, bits: int) -> Floats:
    """Return the unsigned integers in the words along the last dimension, the lowest bits first."""
    data = np.ascontiguousarray(words).view(np.uint8)
    values = np.take(_values(bits), data, axis=0, mode="clip")
    return values.reshape(*words.shape[:-1], words.shape[-1] * (WORD // bits))


def in_groups(weights: Floats, zeros: Floats | int, scales: Floats, groups: Groups | None) -> Floats:
    """Return (weights - zeros) · scales in place of the weights.

    Args:
        weights: [rows, columns]
        zeros: [rows, groups], or one number.
        scales: [rows, groups]
        groups: The group of each column; None for runs of equal length.
    """
    if groups is not None:
        weights -= zeros[:, groups] if isinstance(zeros, np.ndarray) else np.float32(zeros)
        weights *= scales[:, groups]
        return weights
    runs = weights.reshape(*scales.shape, -1)
    runs -= zeros[:, :, None] if isinstance(zeros, np.ndarray) else np.float32(zeros)
    runs *= scales[:, :, None]
    return weights


def read_groups(parts: Parts, tensor: Tensor, count: int) -> Groups | None:
    """Return the group of each column as the file says, None if they are runs of equal length.

    Raises:
        CheckpointRefused: There is no such group.
    """
    groups = tensor.read().astype(np.int64)
    if groups.size and not (groups.min() >= 0 and groups.max() < count):
        raise parts.misfit(f"{tensor.name} names groups from {groups.min()} to {groups.max()} of {count}")
    runs = groups.size % count == 0 and (groups == np.arange(groups.size) // (groups.size // count)).all()
    return None if runs else groups


@cache
def _values(bits: int) -> Floats:
    """Return the integers in each byte, [256, 8 / bits]."""
    shifts = np.arange(0, 8, bits)
    return (np.arange(256)[:, None] >> shifts & (1 << bits) - 1).astype(np.float32)
