"""Random values: only integers from the generator and exact arithmetic, so that no mathematics library matters."""

import zlib

import numpy as np

from tests.core.convert.checkpoints.files import Floats, Integers


def random_for(label: str) -> np.random.RandomState:
    """Return a generator of its own for each tensor: a change of one leaves the others as they were."""
    return np.random.RandomState(zlib.crc32(label.encode()))


def integers(random: np.random.RandomState, shape: tuple[int, ...] | int, low: int, high: int) -> Integers:
    """Return whole numbers, of 64 bits on every system."""
    return random.randint(low, high, size=shape, dtype=np.int64)


def steps(random: np.random.RandomState, shape: tuple[int, ...], low: int, high: int, unit: float) -> Floats:
    """Return whole multiples of a power of two, from low up to but not including high."""
    return (integers(random, shape, low, high) * unit).astype(np.float32)


def weights(random: np.random.RandomState, shape: tuple[int, ...]) -> Floats:
    """Return values up to 1/4 of many magnitudes; one of 32 is subnormal or zero in 16 bits."""
    mantissas = steps(random, shape, -(2**23), 2**23, 2.0**-25)
    exponents = integers(random, shape, -4, 1) - 18 * (integers(random, shape, 0, 32) == 0)
    return np.ldexp(mantissas, exponents).astype(np.float32)


def values_for(label: str, name: str, shape: tuple[int, ...], norm: float) -> Floats:
    """Return random values that suit a tensor's name."""
    random = random_for(f"{label}/{name}")
    if name.endswith(".A_log"):
        return steps(random, shape, 1, 88, 2.0**-5)
    if "norm" in name.rsplit(".", 2)[-2] or name.endswith(("inner_attn_ln.weight", "ffn_layernorm.weight")):
        return np.float32(norm) + steps(random, shape, -(2**15), 2**15, 0.3 / 2**16)
    if len(shape) == 1 or name.endswith(("_bias", ".bias")):
        return steps(random, shape, -(2**15), 2**15, 2.0**-16)
    return weights(random, shape)
