"""Phi-3 and Phi-4: queries, keys and values in one, and factors for a long context.

Source: the converter of llama.cpp, commit 0c1e570.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from localllm.core.convert.architectures.entry import Architecture, FileType, count, made, real
from localllm.core.convert.architectures.hyperparameters import rotary_share
from localllm.core.convert.changes import constant
from localllm.core.convert.config import unusable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.convert.architectures.entry import Origin
    from localllm.core.convert.tensors import Array, Tensor


def _rotated(origin: Origin) -> int:
    heads = origin.config.count("num_attention_heads")
    if not heads:
        raise unusable("num_attention_heads", heads)
    share = rotary_share(origin.config.rope, 1.0)
    return int(share * origin.config.count("hidden_size")) // heads


def _trained_length(origin: Origin) -> int:
    length = origin.config.rope.get("original_max_position_embeddings")
    if type(length) is not int or length < 2:
        raise unusable("original_max_position_embeddings", length)
    return length


def _attention_factor(origin: Origin) -> float | None:
    """Return by how much attention is sharpened for the longer context: √(1 + ln(longer)/ln(trained)).

    Source: Ding et al. 2024, LongRoPE; the formula from Phi-3's published code.
    """
    rope = origin.config.rope
    if not rope.get("long_factor"):
        return None
    kind = rope.get("rope_type")
    if kind not in ("su", "longrope"):
        raise unusable("rope_type", kind)
    trained = _trained_length(origin)
    longer = origin.config.count("n_positions", "max_position_embeddings") / trained
    return math.sqrt(1 + math.log(longer) / math.log(trained)) if longer > 1 else 1.0


def _factors(origin: Origin) -> Iterable[Tensor]:
    if not origin.config.rope.get("long_factor"):
        return
    for name in ("long", "short"):
        yield constant(f"rope_factors_{name}.weight", _numbers(origin, f"{name}_factor"))


def _numbers(origin: Origin, name: str) -> Array:
    said: object = origin.config.rope.get(name)
    numbers = cast("list[Any]", said) if isinstance(said, list) else []
    if len(numbers) * 2 != _rotated(origin) or any(type(number) not in (int, float) for number in numbers):
        raise unusable(name, numbers)
    return np.array(numbers, dtype=np.float32)


ENTRIES = (
    Architecture(
        name="phi3",
        classes=("Phi3ForCausalLM",),
        vocabulary=("phi3",),
        defaults={
            "phi3": {
                "max_position_embeddings": 4096,
                "original_max_position_embeddings": 4096,
                "partial_rotary_factor": 1.0,
                "rope_theta": 1e4,
                "rms_norm_eps": 1e-5,
            }
        },
        early_keys=(made("rope.scaling.attn_factor", "f32", _attention_factor),),
        keys=(
            count("context_length", "n_positions", "max_position_embeddings"),
            made("rope.scaling.original_context_length", "u32", _trained_length),
            count("embedding_length", "hidden_size"),
            count("feed_forward_length", "intermediate_size"),
            made("block_count", "u32", lambda origin: origin.layers),
            count("attention.head_count", "num_attention_heads"),
            count("attention.head_count_kv", "num_key_value_heads"),
            real("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
            made("rope.dimension_count", "u32", _rotated),
            made("rope.freq_base", "f32", lambda origin: origin.config.global_rope.get("rope_theta")),
            FileType(),
            count("attention.sliding_window", "sliding_window", default=0),
        ),
        extra_tensors=_factors,
    ),
)
