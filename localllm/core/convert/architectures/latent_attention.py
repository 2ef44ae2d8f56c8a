"""Multi-head latent attention: the matrix that unfolds keys and values from a small vector, cut in two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.convert import changes

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Change, Origin
    from localllm.core.convert.tensors import Tensor


def unfolding(tensor: Tensor, heads: int, keys: int, values: int) -> tuple[Tensor, Tensor]:
    """Split the matrix that unfolds keys and values, both with a dimension for heads, keys transposed.

    Args:
        tensor: For each head, `keys` rows, then `values` rows.
        heads: Their number.
        keys: Rows of each.
        values: Rows of each.

    Raises:
        ValueError: It has other rows.
    """
    size = keys + values
    if not heads or tensor.shape[0] != heads * size:
        message = f"{tensor.name}: {tensor.shape[0]} rows are not {heads} heads of {keys} and {values}"
        raise ValueError(message)
    starts = range(0, heads * size, size)
    of_keys = [changes.transposed(changes.rows(tensor, start, start + keys)) for start in starts]
    of_values = [changes.rows(tensor, start + keys, start + size) for start in starts]
    return changes.Stacked(tensor.name, tuple(of_keys)), changes.Stacked(tensor.name, tuple(of_values))


def unfolded(part: int) -> Change:
    """Return the change that keeps the matrix of keys (0) or of values (1) of the one that unfolds both."""

    def make(tensor: Tensor, origin: Origin) -> Tensor:
        config = origin.config
        heads = config.count("num_key_value_heads")
        return unfolding(tensor, heads, config.count("qk_nope_head_dim"), config.count("v_head_dim"))[part]

    return make
