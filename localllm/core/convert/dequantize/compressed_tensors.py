"""compressed-tensors (llm-compressor, SmoothQuant): eight-bit weights with scales, and packed integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from localllm.core.convert.dequantize.fp8 import as_block
from localllm.core.convert.dequantize.integers import (
    WORD,
    Floats,
    Groups,
    in_groups,
    packed_size,
    read_groups,
    unpacked,
)
from localllm.core.convert.dequantize.parts import FLOATS, Parts
from localllm.core.convert.dequantize.refusals import misfit, not_covered
from localllm.core.convert.dequantize.scaled import scaled
from localllm.core.convert.tensors import Computed, as_float32

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.core.convert.tensors import Tensor

_FORMATS = {"float-quantized", "int-quantized", "naive-quantized", "pack-quantized", "dense"}
_PACKED_SUFFIXES = ("_packed", "_scale", "_shape", "_zero_point", "_g_idx")
_PACKED_BITS = (4, 8)


class _Scheme(NamedTuple):
    """How a group of modules is quantized; which group a weight belongs to is told by its shapes."""

    bits: int
    group_size: int | None
    block: tuple[int, int] | None


def compressed_tensors(tensors: Mapping[str, Tensor], quantization: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return (w - zero) · scale for weights of eight bits and for packed ones of four or eight.

    Raises:
        CheckpointRefused: The format is not covered; or the tensors of a weight do not fit together.
    """
    schemes = _schemes(quantization)
    stems = [name.removesuffix("_packed") for name in tensors if name.endswith(".weight_packed")]
    packed = {stem + suffix for stem in stems for suffix in _PACKED_SUFFIXES}
    result = {name: tensor for name, tensor in tensors.items() if name not in packed}
    for name in list(result):
        if name.endswith(".weight_scale"):
            parts = Parts(tensors, name.removesuffix("_scale"))
            result[parts.stem] = _scaled(parts, schemes)
            result.pop(parts.stem + "_zero_point", None)
            del result[name]
    for stem in stems:
        result[stem] = _unpacked(Parts(tensors, stem), schemes)
    return result


def _schemes(quantization: Mapping[str, Any]) -> list[_Scheme]:
    groups = [_object(group) for group in _object(quantization.get("config_groups")).values()]
    formats = {str(group.get("format") or quantization.get("format")) for group in groups}
    formats.add(str(_object(quantization.get("sparsity_config")).get("format", "dense")))
    for name in sorted(formats - _FORMATS):
        raise not_covered(f"compressed-tensors ({name})")
    if _object(quantization.get("transform_config")).get("config_groups"):
        raise not_covered("compressed-tensors (transform)")
    return [_scheme(_object(group.get("weights"))) for group in groups if group.get("weights")]


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _scheme(said: dict[str, Any]) -> _Scheme:
    bits, size = said.get("num_bits"), said.get("group_size")
    if type(bits) is not int or not (size is None or type(size) is int):
        raise misfit("quantization_config", repr(said)[:200])
    return _Scheme(bits, size if size and size > 0 else None, as_block(said.get("block_structure")))


def _scaled(parts: Parts, schemes: list[_Scheme]) -> Tensor:
    weight, scale = parts.part("", "F8_E4M3", "I8"), parts.part("_scale", *FLOATS)
    zero = parts.optional("_zero_point", "I8")
    columns = weight.shape[-1] if weight.shape else 0
    blocks = {
        scheme.block or (1, scheme.group_size or columns)
        for scheme in schemes
        if not scheme.group_size or columns % scheme.group_size == 0
    }
    return scaled(parts, weight, scale, sorted(blocks), zero)


def _unpacked(parts: Parts, schemes: list[_Scheme]) -> Tensor:
    words, scale = parts.part("_packed", "I32"), parts.part("_scale", *FLOATS)
    zero, order = parts.optional("_zero_point", "I32"), parts.optional("_g_idx", "I32", "I64")
    rows, columns = _shape(parts, words)
    bits = _bits(parts, words, columns, schemes)
    if len(scale.shape) != 2:
        raise parts.misfit(f"the scales are {scale.shape}")
    groups = scale.shape[1]
    sizes = {
        1 if size is None else columns // size for _, size, _ in schemes if not size or columns % size == 0
    }
    if groups not in sizes:
        raise parts.misfit(f"{columns} columns in {groups} groups")
    parts.check(words, (rows, packed_size(columns, bits)))
    parts.check(scale, (rows, groups))
    parts.check(zero, (packed_size(rows, bits), groups))
    parts.check(order, (columns,))

    def make(first: int, last: int) -> Floats:
        values = np.ascontiguousarray(unpacked(words.read(first, last), bits)[:, :columns])
        zeros = 1 << bits - 1 if zero is None else _zeros(zero, bits, first, last)
        scales = as_float32(scale.read(first, last), scale.dtype)
        return in_groups(values, zeros, scales, _order(parts, order, groups))

    sources = tuple(tensor for tensor in (words, scale, zero, order) if tensor is not None)
    return Computed(parts.stem, (rows, columns), "F32", make, sources=sources)


def _shape(parts: Parts, words: Tensor) -> tuple[int, int]:
    said = parts.part("_shape", "I64", "I32")
    parts.check(said, (2,))
    rows, columns = (int(size) for size in said.read())
    if len(words.shape) != 2 or rows != words.shape[0] or rows < 1 or columns < 1:
        raise parts.misfit(f"{words.name} is {words.shape} for a weight of {rows} × {columns}")
    return rows, columns


def _bits(parts: Parts, words: Tensor, columns: int, schemes: list[_Scheme]) -> int:
    said = {scheme.bits for scheme in schemes}
    for bits in sorted(said - set(_PACKED_BITS)):
        raise not_covered(f"compressed-tensors ({bits} bit)")
    fitting = [bits for bits in said if packed_size(columns, bits) == words.shape[1]]
    if len(fitting) != 1:
        raise parts.misfit(f"{words.name} is {words.shape} for {columns} columns of {sorted(said)} bits")
    return fitting[0]


def _zeros(zero: Tensor, bits: int, first: int, last: int) -> Floats:
    """Read the zero points of some rows: they are packed along the rows."""
    per_word = WORD // bits
    words = zero.read(first // per_word, -(-last // per_word))
    values = unpacked(words.T, bits).T
    return values[first % per_word :][: last - first]


def _order(parts: Parts, order: Tensor | None, groups: int) -> Groups | None:
    """Read the groups of the columns; -1 everywhere says that nothing was reordered."""
    if order is None or (order.read() == -1).any():
        return None
    return read_groups(parts, order, groups)
