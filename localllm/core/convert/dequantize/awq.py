"""AWQ, version gemm: the transposed weight, four bits, eight columns in a word in an order of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from localllm.core.convert.dequantize.integers import Floats, in_groups, unpacked
from localllm.core.convert.dequantize.parts import FLOATS, Latest, Parts
from localllm.core.convert.dequantize.refusals import not_covered
from localllm.core.convert.tensors import Array, Computed, as_float32

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.core.convert.tensors import Tensor

_PER_WORD = 8
_NIBBLES = np.array([0, 4, 1, 5, 2, 6, 3, 7])  # which nibble of a word holds its first column, its second …


class _Matrix(NamedTuple):
    """One weight in memory, still packed, but with its own rows in front.

    Attributes:
        words: [out / 8, in]
        zeros: [out, groups]
        scales: [out, groups]
    """

    words: Array
    zeros: Floats
    scales: Floats


def awq(tensors: Mapping[str, Tensor], quantization: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return scales · (q - z).

    Raises:
        CheckpointRefused: Bits or layout are not covered; or the tensors of a weight do not fit together.
    """
    version, bits = quantization.get("version", "gemm"), quantization.get("bits", 4)
    if str(version).lower() != "gemm":
        raise not_covered(f"AWQ ({version})")
    if bits != 4:
        raise not_covered(f"AWQ ({bits} bit)")
    latest = Latest[_Matrix]()
    stems = [name.removesuffix("qweight") for name in tensors if name.endswith(".qweight")]
    packed = {stem + suffix for stem in stems for suffix in ("qweight", "qzeros", "scales")}
    result = {name: tensor for name, tensor in tensors.items() if name not in packed}
    for stem in stems:
        result[stem + "weight"] = _weight(Parts(tensors, stem), latest)
    return result


def _weight(parts: Parts, latest: Latest[_Matrix]) -> Tensor:
    words, zeros, scales = (
        parts.part("qweight", "I32"),
        parts.part("qzeros", "I32"),
        parts.part("scales", *FLOATS),
    )
    if len(words.shape) != 2 or len(scales.shape) != 2 or not all(words.shape + scales.shape):
        raise parts.misfit(f"qweight is {words.shape}, scales are {scales.shape}")
    columns, rows, groups = words.shape[0], words.shape[1] * _PER_WORD, scales.shape[0]
    parts.check(scales, (groups, rows))
    parts.check(zeros, (groups, rows // _PER_WORD))
    if columns % groups:
        raise parts.misfit(f"{columns} columns do not divide into {groups} groups")

    def load() -> _Matrix:
        stored = unpacked(zeros.read(), 4).reshape(groups, -1, _PER_WORD)
        return _Matrix(
            np.ascontiguousarray(words.read().T),
            np.ascontiguousarray(stored[:, :, _NIBBLES].reshape(groups, rows).T),
            np.ascontiguousarray(as_float32(scales.read(), scales.dtype).T),
        )

    def make(first: int, last: int) -> Floats:
        matrix = latest.get(parts.stem, load)
        wanted = np.arange(first, last)
        shifts = (4 * _NIBBLES[wanted % _PER_WORD]).astype(np.int32)
        values = (matrix.words[wanted // _PER_WORD] >> shifts[:, None] & 15).astype(np.float32)
        return in_groups(values, matrix.zeros[first:last], matrix.scales[first:last], None)

    return Computed(parts.stem + "weight", (rows, columns), "F32", make, sources=(words, zeros, scales))
