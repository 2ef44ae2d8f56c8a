"""Turns weights into the bytes of a GGUF tensor type, in pieces that stay in the processor's cache.

The bytes are those of gguf-py and ggml (llama.cpp 0c1e570: ggml-quants.c, ggml-impl.h). The work is numpy's,
on arrays of a few hundred KiB; numpy lets go of the interpreter meanwhile, so two threads are nearly twice as
fast.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from localllm.core.convert.tensors import Array, as_float32
from localllm.gguf.types import TENSOR_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OutputType = Literal["F32", "F16", "BF16", "Q8_0", "TQ1_0", "TQ2_0"]
Floats = NDArray[np.float32]

PIECE = 256 << 10  # bytes of weights that are encoded at once
_MOST = PIECE // 2  # weights in a piece: two bytes each, or more
_TYPES = {kind.name: kind for kind in TENSOR_TYPES.values()}
_HALVES_FROM, _HALVES_TO = 0x3880, 0x4780  # BF16's magnitudes that are normal numbers in F16
_HALF_LIMIT = 0x477FF000  # the bits of 65520, the first float32 that F16 rounds to infinity
_TOO_LARGE = {
    "F16": _HALF_LIMIT,
    "BF16": 0x7F7F8000,
    "Q8_0": 0x4AFDF020,  # 127 · 65520: the scale of a block is F16
    "TQ1_0": _HALF_LIMIT,
    "TQ2_0": _HALF_LIMIT,
}


def type_for(shape: Sequence[int], wanted: OutputType) -> OutputType:
    """Return the type a weight can have: F16 where its rows do not divide into blocks of the wanted type."""
    return "F16" if shape[-1] % _TYPES[wanted].block_weights else wanted


def encoded_size(shape: Sequence[int], kind: str) -> int:
    """Return the bytes of a weight in a GGUF tensor type whose blocks divide its rows."""
    layout = _TYPES[kind]
    return math.prod(shape) // layout.block_weights * layout.block_bytes


class Encoder:
    """Encodes weights; it keeps buffers, so each thread needs one of its own.

    Attributes:
        overflowed: Weights so far that are finite and became infinite, or whose block's scale did.
    """

    def __init__(self) -> None:
        self.overflowed = 0
        self._halves = _Halves()
        self._blocks = _Blocks()

    def encode(self, values: Array, source: str, target: str) -> Iterator[NDArray[np.uint8]]:
        """Yield the bytes of whole rows, piece by piece; a piece is good until the next one is asked for.

        Args:
            values: What `Tensor.read` gave; the last dimension divides into blocks of the target.
            source: The type of the values as safetensors names it.
            target: An `OutputType`; or the type of the values, which copies them.
        """
        for piece in _pieces(values):
            yield self._encoded(piece, source, target).view(np.uint8).reshape(-1)

    def _encoded(self, values: Array, source: str, target: str) -> Array:
        if source == target:
            return values
        if source == "BF16" and target == "F16":
            halves, overflowed = self._halves.make(values)
            self.overflowed += overflowed
            return halves
        with np.errstate(all="ignore"):
            return self._from_floats(as_float32(values, source), target)

    def _from_floats(self, floats: Floats, target: str) -> Array:
        if target == "F32":
            return floats
        self.overflowed += _finite_from(floats.view(np.uint32), _TOO_LARGE[target], 0x7F800000)
        if target == "F16":
            return floats.astype(np.float16)
        if target == "BF16":
            return _to_bf16(floats)
        return self._blocks.make(floats) if target == "Q8_0" else _ternary(floats, target)


class _Halves:
    """BF16 to F16: by arithmetic where the value is a normal number in both, else by a table."""

    def __init__(self) -> None:
        self._magnitudes, self._halves = np.empty((2, _MOST), np.uint16)
        self._rare = np.empty(_MOST, np.bool_)

    def make(self, bits: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], int]:
        """Return the bits of the F16 values, and how many finite ones became infinite.

        With s the sign bit and m the other bits of a BF16, the F16 is s + 8·(m - 0x3880) + 0x400 from 2^-14
        (m = 0x3880) to before 2^16 (m = 0x4780), computed as (s + m) + 7·m less what is constant. Weights
        outside are few, unless a test makes them.
        """
        size = bits.size
        magnitudes, halves = self._magnitudes[:size], self._halves[:size]
        np.bitwise_and(bits, 0x7FFF, out=magnitudes)
        np.subtract(magnitudes, _HALVES_FROM, out=halves)
        rare = np.greater_equal(halves, _HALVES_TO - _HALVES_FROM, out=self._rare[:size]).nonzero()[0]
        if rare.size > size // 16:
            np.take(_half_table(), bits, mode="clip", out=halves)
            return halves, _overflows(magnitudes)
        overflows = _overflows(magnitudes[rare]) if rare.size else 0
        np.multiply(magnitudes, 7, out=magnitudes)
        np.subtract(bits, 8 * _HALVES_FROM - 0x400 & 0xFFFF, out=halves)
        np.add(halves, magnitudes, out=halves)
        halves[rare] = _half_table()[bits[rare]]
        return halves, overflows


def _overflows(magnitudes: NDArray[np.uint16]) -> int:
    """Count the BF16 magnitudes that are finite and too large for F16."""
    if magnitudes.max() < _HALVES_TO:
        return 0
    return int(np.count_nonzero((magnitudes >= _HALVES_TO) & (magnitudes < 0x7F80)))


class _Blocks:
    """Q8_0: blocks of 32 weights, F16 scale first, then the weights as int8."""

    def __init__(self) -> None:
        self._buffers = np.empty((2, _MOST), np.float32)
        self._encoded = np.empty((_MOST // 32, 34), np.uint8)

    def make(self, floats: Floats) -> NDArray[np.uint8]:
        """Return blocks of 34 bytes; a weight over the scale is rounded to nearest, halves away from zero."""
        scaled, halves = self._buffers[:, : floats.size]
        encoded = self._encoded[: floats.size // 32]
        scales = self._largest(floats) / np.float32(127)
        encoded[:, :2] = scales.astype(np.float16).view(np.uint8).reshape(-1, 2)
        inverses = np.where(scales == 0, np.float32(0), np.float32(1) / scales)
        np.multiply(floats, np.repeat(inverses, 32), out=scaled)
        # Cut after adding the largest float32 below a half, with the weight's sign: a half itself would take
        # 0.49999997 to 1.
        bits = halves.view(np.uint32)
        np.bitwise_and(scaled.view(np.uint32), 0x80000000, out=bits)
        np.bitwise_or(bits, 0x3EFFFFFF, out=bits)
        np.add(scaled, halves, out=scaled)
        np.copyto(encoded[:, 2:].view(np.int8), scaled.reshape(-1, 32), casting="unsafe")
        return encoded

    def _largest(self, floats: Floats) -> Floats:
        """Return the largest magnitude of each block.

        Five passes over everything, each taking the larger of two neighbours' results, are three times as
        fast as numpy's reduction of 32 values at a time.
        """
        size = floats.size
        result, other = self._buffers[:, :size]
        np.abs(floats, out=result)
        for distance in (1, 2, 4, 8, 16):
            size -= distance
            np.maximum(result[:size], result[distance : size + distance], out=other[:size])
            result, other = other, result
        return result[:size:32]


def _to_bf16(floats: Floats) -> NDArray[np.uint16]:
    """Round to nearest, ties to even; what is no number stays none and becomes quiet."""
    bits = floats.view(np.uint32)
    rounded = bits >> 16
    np.bitwise_and(rounded, 1, out=rounded)
    np.add(rounded, bits, out=rounded)
    np.add(rounded, 0x7FFF, out=rounded)
    np.right_shift(rounded, 16, out=rounded)
    none = np.isnan(floats)
    if none.any():
        rounded[none] = bits[none] >> 16 | 64
    return rounded.astype(np.uint16)


def _ternary(floats: Floats, target: str) -> NDArray[np.uint8]:
    # It takes a quarter of a second to import and few conversions need it.
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize

    return quantize(floats, GGMLQuantizationType[target])


def _finite_from(bits: Array, first: int, infinity: int) -> int:
    """Count magnitudes from `first` to before infinity among the bits of floating-point numbers."""
    sign = 1 << (8 * bits.itemsize - 1)
    if not bits.size or (bits.view(f"i{bits.itemsize}").max() < first and int(bits.max()) - sign < first):
        return 0
    magnitudes = bits & (sign - 1)
    return int(np.count_nonzero((magnitudes >= first) & (magnitudes < infinity)))


def _pieces(values: Array) -> Iterator[Array]:
    if values.flags.c_contiguous:
        flat = values.reshape(-1)
        step = min(_MOST, PIECE // flat.itemsize)
        yield from (flat[first : first + step] for first in range(0, flat.size, step))
        return
    rows = max(1, PIECE * len(values) // values.nbytes)
    for first in range(0, len(values), rows):
        yield from _pieces(np.ascontiguousarray(values[first : first + rows]))


@cache
def _half_table() -> NDArray[np.uint16]:
    with np.errstate(all="ignore"):
        return as_float32(np.arange(1 << 16, dtype=np.uint16), "BF16").astype(np.float16).view(np.uint16)
