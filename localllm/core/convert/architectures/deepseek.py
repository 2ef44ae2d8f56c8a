"""DeepSeek V2 and V3: keys and values from one small vector (MLA), experts from a certain layer on.

Source: the converter of llama.cpp, commit 0c1e570. It writes attention as it is calculated with that vector:
one head of keys and values, and the matrix that would unfold it split in two, per head.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localllm.core.convert.architectures.entry import (
    Architecture,
    Into,
    Rule,
    count,
    drop,
    made,
    real,
    separate_experts,
)
from localllm.core.convert.architectures.hyperparameters import COMMON
from localllm.core.convert.architectures.latent_attention import unfolded
from localllm.core.convert.config import Filled, unusable
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.convert.architectures.entry import Origin
    from localllm.core.convert.config import Config, Defaults

_LITE = (26, 27)  # layers; the number by which llama.cpp tells V2-Lite, which has no q_lora_rank


def _named(name: str, config: Config) -> str | None:
    match = re.match(r"model\.layers\.(\d{1,6})\.", name)
    return None if match and int(match[1]) >= config.count("num_hidden_layers") else name


def _unreadable(origin: Origin) -> Text | None:
    if origin.config.get("q_lora_rank") is None and origin.layers not in _LITE:
        return text(
            "llama.cpp knows a DeepSeek without q_lora_rank only as V2-Lite, with 26 or 27 layers; "
            "this one has {layers}.",
            layers=origin.layers,
        )
    return None


def _dense(origin: Origin) -> int:
    config = origin.config
    all_dense = 0 if config.get("n_routed_experts") is not None else config.count("num_hidden_layers")
    return config.count("first_k_dense_replace", default=all_dense)


def _sum(*names: str) -> Callable[[Origin], int]:
    return lambda origin: sum(origin.config.count(name) for name in names)


def _scale(origin: Origin) -> float | None:
    scale = origin.config.global_rope.get("mscale_all_dim")
    if scale is None:
        return None
    if type(scale) not in (int, float):
        raise unusable("mscale_all_dim", scale)
    return 0.1 * scale


_CLASS: Defaults = {
    "head_dim": Filled(lambda config: config.get("qk_rope_head_dim")),
    "rope_theta": 1e4,
    "rms_norm_eps": 1e-6,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
}

ENTRIES = (
    Architecture(
        name="deepseek2",
        classes=("DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"),
        vocabulary=("bpe",),
        defaults={
            "deepseek_v2": {
                **_CLASS,
                "max_position_embeddings": 2048,
                "n_routed_experts": 64,
                "n_shared_experts": 2,
                "moe_intermediate_size": 1407,
                "first_k_dense_replace": 0,
                "routed_scaling_factor": 1.0,
                "norm_topk_prob": False,
            },
            "deepseek_v3": {
                **_CLASS,
                "num_key_value_heads": 128,
                "max_position_embeddings": 4096,
                "n_routed_experts": 256,
                "num_experts_per_tok": 8,
                "n_shared_experts": 1,
                "n_group": 8,
                "topk_group": 4,
                "moe_intermediate_size": 2048,
                "first_k_dense_replace": 3,
                "routed_scaling_factor": 2.5,
                "norm_topk_prob": True,
            },
        },
        named=_named,
        uniform=False,
        rules=(
            drop(r"(model\.)?lm_head\.weight", lambda origin: bool(origin.config.get("tie_word_embeddings"))),
            separate_experts(),
            Rule(
                r"(.*)\.kv_b_proj\.weight",
                (
                    Into(r"\1.k_b_proj.weight", unfolded(0)),
                    Into(r"\1.v_b_proj.weight", unfolded(1)),
                ),
            ),
        ),
        keys=(
            *COMMON,
            made("attention.head_count_kv", "u32", lambda _: 1),
            made("leading_dense_block_count", "u32", _dense),
            count("vocab_size", "vocab_size"),
            count("attention.q_lora_rank", "q_lora_rank"),
            count("attention.kv_lora_rank", "kv_lora_rank", default=512),
            made("attention.key_length", "u32", _sum("kv_lora_rank", "qk_rope_head_dim")),
            count("attention.value_length", "kv_lora_rank", default=512),
            made("attention.key_length_mla", "u32", _sum("qk_nope_head_dim", "qk_rope_head_dim")),
            count("attention.value_length_mla", "v_head_dim"),
            count("expert_feed_forward_length", "moe_intermediate_size", "intermediate_size"),
            count("expert_count", "n_routed_experts"),
            count("expert_shared_count", "n_shared_experts", default=0),
            real("expert_weights_scale", "routed_scaling_factor"),
            made(
                "expert_weights_norm",
                "bool",
                lambda origin: bool(origin.config.get("norm_topk_prob")) or None,
            ),
            count("rope.dimension_count", "qk_rope_head_dim"),
            made("rope.scaling.yarn_log_multiplier", "f32", _scale),
        ),
        objection=_unreadable,
    ),
)
