"""Quantized weights made up by hand: integers, zero points and scales drawn at random, packed as libraries do."""

import json
from dataclasses import dataclass, field

import numpy as np

from localllm.core.convert.tensors import as_float32

DTYPES = {"float32": "F32", "float16": "F16", "int32": "I32", "int64": "I64", "int8": "I8", "uint8": "U8"}
STORED = {"U8": "u1", "I8": "i1", "F16": "f2", "BF16": "u2", "F32": "f4"}


@dataclass(eq=False)
class Held:
    """A tensor in memory that counts how often it was read."""

    name: str
    dtype: str
    values: np.ndarray
    reads: list = field(default_factory=list)

    @property
    def shape(self):
        return self.values.shape

    def read(self, first=0, last=None):
        assert 0 <= first <= (len(self.values) if self.shape else 0)
        assert last is None or first < last <= len(self.values)
        self.reads.append((first, last))
        return self.values[first:last].copy() if self.shape else self.values.copy()


def held(**arrays):
    """Tensors by name; an array may be a pair of its type and its bits. Dots in names are written as `__`."""
    result = {}
    for name, value in arrays.items():
        dtype, values = value if isinstance(value, tuple) else (DTYPES[value.dtype.name], value)
        result[name.replace("__", ".")] = Held(name.replace("__", "."), dtype, values)
    return result


def packed(values, bits, axis=-1):
    """Integers as words of 32 bits, the first in the lowest bits, padded with noughts."""
    values = np.moveaxis(np.asarray(values, np.int64), axis, -1)
    per_word = 32 // bits
    padded = np.zeros((*values.shape[:-1], -(-values.shape[-1] // per_word) * per_word), np.int64)
    padded[..., : values.shape[-1]] = values
    words = (padded.reshape(*padded.shape[:-1], -1, per_word) << np.arange(per_word) * bits).sum(-1)
    return np.moveaxis(words.astype(np.uint32).view(np.int32), -1, axis)


def bf16(random, *shape):
    """Random numbers that are BF16: the bits, and the same as float32."""
    bits = (random.standard_normal(shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return ("BF16", bits), as_float32(bits, "BF16")


def e4m3(random, *shape):
    """Random E4M3 numbers, none of them NaN: the bits, and the same as float32."""
    bits = random.integers(0, 256, shape).astype(np.uint8)
    bits[bits & 0x7F == 0x7F] = 0x7E
    sign, exponent, mantissa = bits >> 7, (bits >> 3 & 15).astype(np.int64), (bits & 7).astype(np.int64)
    values = np.where(exponent, np.ldexp(8 + mantissa, exponent - 10), np.ldexp(mantissa, -9))
    return ("F8_E4M3", bits), np.where(sign, -values, values).astype(np.float32)


def assert_reads(tensor, expected):
    """The weight is what is expected, bit for bit, whole and in pieces of any place and length."""
    assert (tensor.shape, tensor.dtype) == (expected.shape, "F32")
    rows = len(expected)
    for first, last in [
        (0, None),
        (0, rows),
        (0, 1),
        (rows - 1, rows),
        (rows // 3, rows // 2 + 1),
        (1, rows),
    ]:
        if first < rows:
            values = tensor.read(first, last)
            assert values.dtype == np.float32
            wanted = np.ascontiguousarray(expected[first:last])
            assert values.shape == wanted.shape
            assert (values.view(np.uint32) == wanted.view(np.uint32)).all(), (first, last)


def nf4_state(shape, more):
    """The description of a four-bit weight as bitsandbytes writes it."""
    said = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": list(shape)} | more
    return np.frombuffer(json.dumps(said).encode(), np.uint8)
