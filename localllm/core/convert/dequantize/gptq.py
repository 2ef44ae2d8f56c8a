"""GPTQ: integers packed along the rows of the transposed weight, zero points along its columns."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from localllm.core.convert.dequantize.integers import (
    WORD,
    Floats,
    Groups,
    in_groups,
    packed_size,
    read_groups,
    unpacked,
)
from localllm.core.convert.dequantize.parts import FLOATS, Latest, Parts
from localllm.core.convert.dequantize.refusals import not_covered
from localllm.core.convert.tensors import Array, Computed, as_float32

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.core.convert.tensors import Tensor

_BITS = (2, 4, 8)
_SUFFIXES = ("qweight", "qzeros", "scales", "g_idx")


class _Matrix(NamedTuple):
    """One weight in memory, still packed, but by its own rows.

    Attributes:
        words: [out, in · bits / 32]
        zeros: [out, groups]
        scales: [out, groups]
        groups: The group of each column; None for runs of equal length.
    """

    words: Array
    zeros: Floats
    scales: Floats
    groups: Groups | None


def gptq(tensors: Mapping[str, Tensor], quantization: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return scales · (q - z), z being one more than is stored unless the format is GPTQ's second.

    A stored zero point of all ones means 2 to the power of the bits: it does not wrap.

    Raises:
        CheckpointRefused: Bits or layout are not covered; or the tensors of a weight do not fit together.
    """
    layout = quantization.get("checkpoint_format") or quantization.get("format") or "gptq"
    if layout not in ("gptq", "gptq_v2") or quantization.get("is_marlin_format"):
        raise not_covered(f"GPTQ ({layout if layout != 'gptq' else 'marlin'})")
    latest = Latest[_Matrix]()
    stems = [name.removesuffix("qweight") for name in tensors if name.endswith(".qweight")]
    packed = {stem + suffix for stem in stems for suffix in _SUFFIXES}
    result = {name: tensor for name, tensor in tensors.items() if name not in packed}
    for stem in stems:
        result[stem + "weight"] = _weight(Parts(tensors, stem), quantization, int(layout == "gptq"), latest)
    return result


def _weight(parts: Parts, quantization: Mapping[str, Any], more: int, latest: Latest[_Matrix]) -> Tensor:
    words, scales = parts.part("qweight", "I32"), parts.part("scales", *FLOATS)
    zeros, order = parts.part("qzeros", "I32"), parts.optional("g_idx", "I32", "I64")
    if len(words.shape) != 2 or len(scales.shape) != 2 or not all(words.shape + scales.shape):
        raise parts.misfit(f"qweight is {words.shape}, scales are {scales.shape}")
    bits = _bits(parts, words, order, quantization)
    columns, rows, groups = words.shape[0] * WORD // bits, words.shape[1], scales.shape[0]
    parts.check(scales, (groups, rows))
    parts.check(zeros, (groups, packed_size(rows, bits)))
    parts.check(order, (columns,))
    if rows * bits % WORD or (order is None and columns % groups):
        raise parts.misfit(f"{rows} rows or {columns} columns do not divide into words or {groups} groups")

    def load() -> _Matrix:
        return _Matrix(
            np.ascontiguousarray(words.read().T),
            np.ascontiguousarray(unpacked(zeros.read(), bits).T) + np.float32(more),
            np.ascontiguousarray(as_float32(scales.read(), scales.dtype).T),
            None if order is None else read_groups(parts, order, groups),
        )

    def make(first: int, last: int) -> Floats:
        matrix = latest.get(parts.stem, load)
        values = unpacked(matrix.words[first:last], bits)
        return in_groups(values, matrix.zeros[first:last], matrix.scales[first:last], matrix.groups)

    sources = (words, zeros, scales) if order is None else (words, zeros, scales, order)
    return Computed(parts.stem + "weight", (rows, columns), "F32", make, sources=sources)


def _bits(parts: Parts, words: Tensor, order: Tensor | None, quantization: Mapping[str, Any]) -> int:
    """Return the bits of a weight: some configurations give single modules others than `bits`."""
    bits = quantization.get("bits")
    if order is not None:
        bits, rest = divmod(words.shape[0] * WORD, prod(order.shape) or 1)
        if rest or bits > max(_BITS):
            raise parts.misfit(f"{words.name} is {words.shape}, {order.name} is {order.shape}")
    if not isinstance(bits, int) or bits not in _BITS:
        raise not_covered(f"GPTQ ({bits} bit)")
    return bits
