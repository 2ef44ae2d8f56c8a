"""A weight on its way from a checkpoint to a GGUF file, read when it is written and not before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[Any]


class Tensor(Protocol):
    """A weight that can be read as often as needed, whole or by rows."""

    @property
    def name(self) -> str:
        """As in the checkpoint."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost dimension first, as in the checkpoint."""
        ...

    @property
    def dtype(self) -> str:
        """As safetensors names it: F32, F16, BF16, F64, F8_E4M3, U8, I8, I32, I64, BOOL."""
        ...

    def read(self, first: int = 0, last: int | None = None) -> Array:
        """Return the rows from `first` to before `last`, along the outermost dimension.

        F32 and F16 come as they are, BF16 and F8_E4M3 as their bits (uint16, uint8), other types as numpy has
        them; a tensor of no dimension as an array of no dimension.
        """
        ...


@dataclass(frozen=True, slots=True)
class Computed:
    """A weight that is made from others: `make` returns the rows from `first` to before `last`.

    Attributes:
        make: Must return an array of `dtype`, of this shape but for the number of rows.
        whole: Whether `make` always computes the whole, so that reading by rows would repeat the work.
        sources: What `make` reads. A shard is deleted behind when nothing still to be written reads it, so a
            source that is not named here may be gone when it is needed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    make: Callable[[int, int], Array]
    whole: bool = False
    sources: tuple[Tensor, ...] = ()

    def read(self, first: int = 0, last: int | None = None) -> Array:
        """Return rows; see `Tensor.read`."""
        rows = self.shape[0] if self.shape else 1
        return self.make(first, rows if last is None else last)


def as_float32(values: Array, dtype: str) -> NDArray[np.float32]:
    """Return what `Tensor.read` gave as float32; exact for every type of 16 bits or fewer.

    Source of the E4M3 values: Micikevicius et al. 2022, FP8 formats for deep learning, table 1.
    """
    if dtype == "BF16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if dtype == "F8_E4M3":
        return np.take(_E4M3, values, mode="clip")  # three times as fast as _E4M3[values]
    return values.astype(np.float32, copy=False)


def _e4m3_values() -> NDArray[np.float32]:
    codes = np.arange(256)
    exponent, mantissa = (codes >> 3) & 15, codes & 7
    small = mantissa / 8 * 2.0**-6
    values = np.where(exponent == 0, small, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    values[(codes & 0x7F) == 0x7F] = np.nan
    return np.where(codes & 0x80, -values, values).astype(np.float32)


_E4M3 = _e4m3_values()
