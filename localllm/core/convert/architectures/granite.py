"""Granite: Llama with factors for attention, embedding, residuals and logits, and heads of one size only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.convert.architectures.entry import Architecture, count, made, rotary_pairs
from localllm.core.convert.architectures.hyperparameters import common_without, llama3_factors
from localllm.core.convert.config import Filled, unusable

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Origin, Setting


def _head_dim(origin: Origin) -> int:
    heads = origin.config.count("num_attention_heads")
    if not heads:
        raise unusable("num_attention_heads", heads)
    return origin.config.count("hidden_size") // heads


def _factor(name: str, said: str) -> Setting:
    """Make a key of a factor; zero is as good as none."""
    return made(name, "f32", lambda origin: origin.config.get(said) or None)


ENTRIES = (
    Architecture(
        name="granite",
        classes=("GraniteForCausalLM",),
        vocabulary=("sentencepiece", "byte_fallback", "bpe"),
        defaults={
            "granite": {
                "num_key_value_heads": Filled(lambda config: config.count("num_attention_heads")),
                "max_position_embeddings": 2048,
                "rope_theta": 1e4,
                "rms_norm_eps": 1e-6,
                "attention_multiplier": 1.0,
                "embedding_multiplier": 1.0,
                "residual_multiplier": 1.0,
                "logits_scaling": 1.0,
            }
        },
        rules=rotary_pairs(),
        keys=(
            *common_without("attention.key_length", "attention.value_length"),
            count("vocab_size", "vocab_size"),
            made("rope.dimension_count", "u32", _head_dim),
            _factor("attention.scale", "attention_multiplier"),
            _factor("embedding_scale", "embedding_multiplier"),
            _factor("residual_scale", "residual_multiplier"),
            _factor("logit_scale", "logits_scaling"),
        ),
        extra_tensors=llama3_factors,
    ),
)
