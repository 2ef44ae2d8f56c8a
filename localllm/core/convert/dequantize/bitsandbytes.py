"""bitsandbytes: eight bits with a scale for each row; NF4 and FP4 with one for each block."""

from __future__ import annotations

import json
import math
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from localllm.core.convert.dequantize.parts import Parts
from localllm.core.convert.dequantize.refusals import not_covered
from localllm.core.convert.dequantize.scaled import scaled
from localllm.core.convert.tensors import Array, Computed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from localllm.core.convert.tensors import Tensor

_STATES = (".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4")
_SUFFIXES = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", *_STATES)
_STORAGE = {"U8": 1, "I8": 1, "F16": 2, "BF16": 2, "F32": 4}  # bytes; the type says nothing about the weights
_MAX_STATE = 64 << 10  # bytes
_MAX_BLOCK = 1 << 16
_ROW_MAJOR = 0
_PART_OF_SCALE = np.float32(1 / 127)


class _State(NamedTuple):
    """What a weight says about itself."""

    shape: tuple[int, ...]
    block: int
    nested_block: int
    nested_offset: float


def bitsandbytes(tensors: Mapping[str, Tensor], _quantization: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return w · SCB / 127 for weights of eight bits, quant_map[w] · absmax for those of four.

    Raises:
        CheckpointRefused: The tensors of a weight do not fit together, or are ordered for certain GPUs.
    """
    four = [name.removesuffix(".absmax") for name in tensors if name.endswith(".absmax")]
    eight = [name.removesuffix("SCB") for name in tensors if name.endswith(".SCB")]
    used = {name + suffix for name in four for suffix in _SUFFIXES}
    used |= {stem + suffix for stem in eight for suffix in ("SCB", "weight_format")}
    result = {name: tensor for name, tensor in tensors.items() if name not in used}
    for name in four:
        result[name] = _four_bits(Parts(tensors, name))
    for stem in eight:
        result[stem + "weight"] = _eight_bits(Parts(tensors, stem))
    return result


def _eight_bits(parts: Parts) -> Tensor:
    weight, scale = parts.part("weight", "I8"), parts.part("SCB", "F32")
    order = parts.optional("weight_format", "U8")
    parts.check(order, (), (1,))
    product = scaled(parts, weight, scale)

    def make(first: int, last: int) -> Array:
        if first == 0 and order is not None and order.read().reshape(-1)[0] != _ROW_MAJOR:
            raise not_covered("bitsandbytes (col32, turing, ampere)")
        return product.read(first, last) * _PART_OF_SCALE

    sources = (weight, scale) if order is None else (weight, scale, order)
    return Computed(weight.name, weight.shape, "F32", make, sources=sources)


def _four_bits(parts: Parts) -> Tensor:
    packed, levels = parts.part("", *_STORAGE), parts.part(".quant_map", "F32")
    state = _state(parts)
    count, columns = prod(state.shape), prod(state.shape[1:])
    blocks = -(-count // state.block)
    parts.check(levels, (16,))
    size = prod(packed.shape) * _STORAGE[packed.dtype]
    if size != (count + 1) // 2 or packed.shape[1:] not in ((), (1,)):
        raise parts.misfit(f"{packed.name} is {packed.shape} for a weight of {state.shape}")
    scales = _scales(parts, blocks, state)

    def make(first: int, last: int) -> Array:
        low = first * columns // state.block
        high = -(-last * columns // state.block)
        start = low * state.block
        pairs = _pairs(levels.read())
        data = _bytes(packed, start // 2, min(high * state.block // 2, size))
        values = np.take(pairs, data, axis=0, mode="clip").reshape(-1)
        values *= np.repeat(scales.read(low, high), state.block)[: values.size]
        return values[first * columns - start : last * columns - start].reshape(-1, *state.shape[1:])

    return Computed(packed.name, state.shape, "F32", make, sources=(packed, levels, scales))


def _scales(parts: Parts, blocks: int, state: _State) -> Tensor:
    """Return the scale of each block, float32."""
    stored = parts.part(".absmax", "F32", "U8")
    parts.check(stored, (blocks,))
    if stored.dtype == "F32":
        return stored
    levels, factors = parts.part(".nested_quant_map", "F32"), parts.part(".nested_absmax", "F32")
    parts.check(levels, (256,))
    parts.check(factors, (-(-blocks // state.nested_block),))

    def make(first: int, last: int) -> Array:
        low = first // state.nested_block
        repeated = np.repeat(factors.read(low, -(-last // state.nested_block)), state.nested_block)
        start = first - low * state.nested_block
        values = levels.read()[stored.read(first, last)] * repeated[start : start + last - first]
        return values + np.float32(state.nested_offset)

    return Computed(stored.name, stored.shape, "F32", make, sources=(stored, levels, factors))


def _pairs(levels: Array) -> NDArray[np.float32]:
    """Return what each byte stands for, [256, 2]: the high half comes first."""
    codes = np.arange(256)
    return np.stack([levels[codes >> 4], levels[codes & 15]], axis=1)


def _bytes(packed: Tensor, first: int, last: int) -> NDArray[np.uint8]:
    """Read bytes, whatever type they are stored as; `first` lies between two elements."""
    size = _STORAGE[packed.dtype]
    data = np.ascontiguousarray(packed.read(first // size, -(-last // size))).reshape(-1)
    return data.view(np.uint8)[: last - first]


def _state(parts: Parts) -> _State:
    stored = next((state for suffix in _STATES if (state := parts.optional(suffix, "U8"))), None)
    if stored is None or len(stored.shape) != 1 or stored.shape[0] > _MAX_STATE:
        raise parts.misfit("quant_state is missing or too long")
    try:
        said: object = json.loads(stored.read().tobytes())
    except (ValueError, RecursionError) as error:
        raise parts.misfit(f"quant_state: {error}") from error
    if not isinstance(said, dict):
        raise parts.misfit("quant_state is no object")
    values = cast("dict[str, Any]", said)
    state = _State(
        _shape(values.get("shape")),
        _count(values.get("blocksize")),
        _count(values.get("nested_blocksize", 256)),
        _number(values.get("nested_offset", 0.0)),
    )
    if not (state.shape and state.block and state.nested_block and math.isfinite(state.nested_offset)):
        raise parts.misfit(f"quant_state: {values}"[:500])
    return state


def _shape(value: object) -> tuple[int, ...]:
    """Return the sizes of a matrix or of a stack of them, nothing if they are none."""
    if not isinstance(value, list) or not 2 <= len(cast("list[object]", value)) <= 4:
        return ()
    sizes = [size for size in cast("list[object]", value) if type(size) is int and 0 < size < 1 << 40]
    return tuple(sizes) if len(sizes) == len(cast("list[object]", value)) else ()


def _count(value: object) -> int:
    """Return the size of a block, 0 if it is none."""
    return value if type(value) is int and 8 <= value <= _MAX_BLOCK and value % 8 == 0 else 0


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
