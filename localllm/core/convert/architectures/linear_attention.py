"""The heads of linear attention (Gated DeltaNet), and how their rows lie in a checkpoint and in a GGUF file.

Several heads of values belong to each head of keys. Checkpoints hold them group by group; ggml repeats the
heads of keys as a whole, so in Qwen3.5's file the first value head of every group comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from localllm.core.convert import changes
from localllm.core.convert.config import unusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.convert.architectures.entry import Change, Origin
    from localllm.core.convert.config import Config
    from localllm.core.convert.tensors import Array, Tensor


@dataclass(frozen=True, slots=True)
class LinearHeads:
    """The heads of linear attention.

    Attributes:
        keys: How many, and how many of queries.
        per_key: Heads of values for each.
        key_dim: Elements of a head of keys.
        value_dim: Elements of a head of values.
    """

    keys: int
    per_key: int
    key_dim: int
    value_dim: int

    @property
    def values(self) -> int:
        """Heads of values."""
        return self.keys * self.per_key

    @property
    def channels(self) -> int:
        """Rows of queries, keys and values."""
        return 2 * self.keys * self.key_dim + self.values * self.value_dim

    def spread(self, dim: int) -> Array:
        """Return the order of rows of values, `dim` to a head: the first head of every group comes first."""
        return np.arange(self.values * dim).reshape(self.keys, self.per_key, dim).swapaxes(0, 1).ravel()

    def spread_channels(self) -> Array:
        """Return the order of rows of queries, keys and values: only values change places."""
        before = 2 * self.keys * self.key_dim
        return np.concatenate([np.arange(before), before + self.spread(self.value_dim)])

    def separated(self) -> tuple[Array, Array]:
        """Return the rows of queries, keys and values, then those of gates, where they lie group by group."""
        first, width = 2 * self.key_dim, self.per_key * self.value_dim
        rows = np.arange(self.keys * (first + 2 * width)).reshape(self.keys, -1)
        ends = (0, self.key_dim, first, first + width, first + 2 * width)
        parts = [rows[:, start:end].ravel() for start, end in pairwise(ends)]
        return np.concatenate(parts[:3]), parts[3]


def linear_heads(config: Config) -> LinearHeads:
    """Read them from config.json.

    Raises:
        CheckpointRefused: The heads of values are no multiple of those of keys.
    """
    keys, values = config.count("linear_num_key_heads"), config.count("linear_num_value_heads")
    if not keys or values % keys:
        raise unusable("linear_num_value_heads", values)
    dims = (config.count("linear_key_head_dim"), config.count("linear_value_head_dim"))
    return LinearHeads(keys, values // keys, *dims)


def ordered_rows(size: Callable[[LinearHeads], int], order: Callable[[LinearHeads], Array]) -> Change:
    """Return a change that puts the rows of a tensor of `size` rows in an order.

    Both are computed from the heads; the change raises ValueError for other tensors.
    """

    def make(tensor: Tensor, origin: Origin) -> Tensor:
        heads = linear_heads(origin.config)
        _check(tensor, 0, size(heads))
        return changes.picked_rows(tensor, order(heads))

    return make


def columns_of_values(tensor: Tensor, origin: Origin) -> Tensor:
    """Spread the columns, which are values, over the heads.

    Raises:
        ValueError: There are others.
    """
    heads = linear_heads(origin.config)
    _check(tensor, -1, heads.values * heads.value_dim)
    return changes.picked_columns(tensor, heads.spread(heads.value_dim))


def _check(tensor: Tensor, dimension: int, size: int) -> None:
    if not tensor.shape or tensor.shape[dimension] != size:
        message = f"{tensor.name}: {tensor.shape} does not have {size} elements for its heads"
        raise ValueError(message)


def decay(tensor: Tensor, _: Origin) -> Tensor:
    """Turn the logarithm of a decay into what ggml multiplies with."""
    return changes.calculated(
        tensor, lambda values: (-np.exp(values.astype(np.float64))).astype(values.dtype)
    )


one_each = ordered_rows(lambda heads: heads.values, lambda heads: heads.spread(1))
all_values = ordered_rows(
    lambda heads: heads.values * heads.value_dim, lambda heads: heads.spread(heads.value_dim)
)
all_channels = ordered_rows(lambda heads: heads.channels, LinearHeads.spread_channels)


def separated_rows(part: int) -> Change:
    """Return the change that keeps queries, keys and values (0) or gates (1) of what lies group by group."""
    return ordered_rows(
        lambda heads: heads.channels + heads.values * heads.value_dim, lambda heads: heads.separated()[part]
    )
