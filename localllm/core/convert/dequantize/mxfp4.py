"""MXFP4 (gpt-oss): blocks of 32 numbers of four bits and a scale, moved to GGUF's layout without a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from localllm.core.convert.dequantize.refusals import misfit
from localllm.core.convert.tensors import Computed

if TYPE_CHECKING:
    from localllm.core.convert.tensors import Tensor

_BLOCK = 32
Bytes = NDArray[np.uint8]


def repacked(name: str, blocks: Tensor, scales: Tensor, rows: slice = slice(None)) -> Tensor:
    """Return experts as a tensor of type MXFP4, its shape [experts, rows, columns].

    What it reads are the bytes of GGUF's blocks: [experts, rows, columns / 32 · 17].

    Args:
        name: What to call it.
        blocks: U8, [experts, rows, columns / 32, 16]
        scales: U8, [experts, rows, columns / 32]
        rows: Which rows of each expert: gate and up projections take turns.

    Raises:
        CheckpointRefused: The two do not fit together.
    """
    fits = blocks.dtype == scales.dtype == "U8" and blocks.shape == (*scales.shape, 16)
    if len(scales.shape) != 3 or not fits:
        detail = f"{blocks.dtype} {blocks.shape}, {scales.dtype} {scales.shape}"
        raise misfit(blocks.name.removesuffix("_blocks"), detail)
    experts, height, count = scales.shape

    def make(first: int, last: int) -> Bytes:
        packed = repack(blocks.read(first, last)[:, rows], scales.read(first, last)[:, rows])
        return packed.reshape(*packed.shape[:2], -1)

    shape = (experts, len(range(height)[rows]), count * _BLOCK)
    return Computed(name, shape, "MXFP4", make, sources=(blocks, scales))


def repack(blocks: Bytes, scales: Bytes) -> Bytes:
    """Return blocks of 17 bytes, […, 17]: the scale, then 16 with number j low in byte j, j + 16 high.

    Args:
        blocks: […, 16], number 2j low in byte j, number 2j + 1 high.
        scales: […], exponents with a bias of 127.
    """
    packed = np.empty((*scales.shape, 17), np.uint8)
    left, right = blocks[..., :8], blocks[..., 8:]
    packed[..., 0] = scales
    packed[..., 1::2] = left & 15 | right << 4
    packed[..., 2::2] = left >> 4 | right & 0xF0
    return packed
