"""One tensor of a planned result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from localllm.core.quantize.types import packing


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the result.

    Attributes:
        source_name: Its name in the source: layers are numbered anew where some were left out.
        shape: Fastest first, as ggml has it.
        type_name: What it will be; `wanted` what its rows are too short for, "" if nothing.
        part: Which of the source's files it lies in, from 0.
    """

    name: str
    source_name: str
    shape: tuple[int, ...]
    source_type: str
    type_name: str
    wanted: str = ""
    part: int = 0

    @cached_property
    def weights(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes in the result."""
        return _bytes(self.weights, self.type_name)

    @property
    def source_size(self) -> int:
        """Bytes in the source."""
        return _bytes(self.weights, self.source_type)

    @property
    def changes(self) -> bool:
        """Whether it is quantized anew."""
        return self.type_name != self.source_type


def _bytes(weights: int, type_name: str) -> int:
    kind = packing(type_name)
    return weights // kind.block_weights * kind.block_bytes
