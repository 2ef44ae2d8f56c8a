"""Gemma 4: layers with a window and layers with the whole context differ in their heads.

Source: the converter of llama.cpp, commit 0c1e570.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from localllm.core.convert.architectures.entry import Architecture, count, made, rename
from localllm.core.convert.architectures.gemma import CUT_EMBEDDING, GEMMA3_KEYS
from localllm.core.convert.architectures.hyperparameters import rotary_share, windows
from localllm.core.convert.changes import constant
from localllm.core.convert.config import unusable
from localllm.core.convert.small_files import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.convert.architectures.entry import Origin
    from localllm.core.convert.tensors import Tensor

_UNROTATED = 1e30  # divides the frequency, so that nothing turns


def _windows(origin: Origin) -> list[bool]:
    found = windows(origin)
    if found is None:
        raise unusable("layer_types", None)
    return found


def _of_full_layers(origin: Origin, whole: str, single: str) -> Any:
    """Return what layers with the whole context have: said for all, or for one of them."""
    if (value := origin.config.get(whole)) is not None:
        return value
    seen = _windows(origin)
    for layer, said in as_object(origin.config.get("per_layer_config")).items():
        full = layer.isdecimal() and int(layer) < len(seen) and not seen[int(layer)]
        if full and single in (own := as_object(said)):
            return own[single]
    return None


def _head_dim(origin: Origin) -> int:
    value = _of_full_layers(origin, "global_head_dim", "head_dim")
    if type(value) is not int or value <= 0:
        raise unusable("global_head_dim", value)
    return value


def _heads(origin: Origin) -> list[int] | None:
    full = _of_full_layers(origin, "num_global_key_value_heads", "num_key_value_heads")
    of_windows = origin.config.get("num_key_value_heads")
    if full is None or of_windows is None:
        return None
    return [of_windows if window else full for window in _windows(origin)]


def _inner_sizes(origin: Origin) -> list[int] | None:
    """Return the sizes of layers if those without keys and values of their own are twice as wide."""
    if not origin.config.get("use_double_wide_mlp"):
        return None
    size = origin.config.count("intermediate_size")
    own = origin.layers - origin.config.count("num_kv_shared_layers")
    return [size if layer < own else 2 * size for layer in range(origin.layers)]


def _rotated_in_windows(origin: Origin) -> int:
    return int(origin.config.count("head_dim") * rotary_share(origin.config.rope, 1.0))


def _factors(origin: Origin) -> Iterable[Tensor]:
    """Give the factors of layers with the whole context: the first pairs of each head turn, others do not."""
    rope = origin.config.global_rope
    if rope.get("rope_type") != "proportional":
        raise unusable("rope_type", rope.get("rope_type"))
    size = _head_dim(origin)
    turning = int(size * rotary_share(rope) / 2)
    pairs = np.arange(size // 2)
    yield constant("rope_freqs.weight", np.where(pairs < turning, 1.0, _UNROTATED))


ENTRIES = (
    Architecture(
        name="gemma4",
        classes=("Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"),
        vocabulary=("gemma4",),
        uniform=False,
        rules=(
            CUT_EMBEDDING,
            rename(r".*\.(layer_scalar|per_dim_scale)", r"\g<0>.weight"),
            rename(r"model\.layers\.(\d+)\.router\.scale", r"blk.\1.ffn_gate_inp.scale"),
            rename(r"model\.layers\.(\d+)\.router\.per_expert_scale", r"blk.\1.ffn_down_exps.scale"),
            rename(r"(.*\.experts\.(?:down|gate_up)_proj)", r"\1.weight"),
        ),
        keys=(
            *GEMMA3_KEYS,
            made(
                "attention.shared_kv_layers",
                "u32",
                lambda origin: origin.config.count("num_kv_shared_layers"),
            ),
            count("embedding_length_per_layer_input", "hidden_size_per_layer_input", default=0),
            made("attention.sliding_window_pattern", "bool", _windows),
            made("attention.key_length", "u32", _head_dim),
            made("attention.value_length", "u32", _head_dim),
            made("attention.key_length_swa", "u32", lambda origin: origin.config.count("head_dim")),
            made("attention.value_length_swa", "u32", lambda origin: origin.config.count("head_dim")),
            count("expert_feed_forward_length", "expert_intermediate_size", "moe_intermediate_size"),
            made("feed_forward_length", "i32", _inner_sizes),
            made("attention.head_count_kv", "i32", _heads),
            made("rope.dimension_count", "u32", _head_dim),
            made("rope.dimension_count_swa", "u32", _rotated_in_windows),
        ),
        extra_tensors=_factors,
    ),
)
