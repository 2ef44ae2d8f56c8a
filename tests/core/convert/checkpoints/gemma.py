"""Gemma 2 to 4."""

import json
from dataclasses import replace
from typing import Any

from tests.core.convert.checkpoints.files import Config, Shapes
from tests.core.convert.checkpoints.parts import (
    MISSING,
    VISION,
    Checkpoint,
    Sizes,
    attention,
    config,
    feed_forward,
    head_norms,
    layered,
    norms,
)  # fmt: skip
from tests.core.convert.checkpoints.vocabularies import (
    GEMMA_HEAD,
    GEMMA_PIECES,
    USER_DEFINED,
    byte_fallback,
    byte_fallback_json,
    pieces,
    sentencepiece,
)  # fmt: skip

CHECKPOINTS: dict[str, Checkpoint] = {}

GEMMA = Sizes(vocab=GEMMA_PIECES + 12, tied=True)
GEMMA_IDS: Config = {
    "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0, "rms_norm_eps": 1e-06, "head_dim": 16,
    "hidden_activation": "gelu_pytorch_tanh", "hidden_act": MISSING,
}  # fmt: skip
FOUR_NORMS = norms(
    "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"
)
CHECKPOINTS["gemma2"] = Checkpoint(
    "Tiny-Gemma-2-2b-it",
    config(GEMMA, "Gemma2ForCausalLM", "gemma2", query_pre_attn_scalar=16, sliding_window=MISSING, **GEMMA_IDS),
    layered(GEMMA, FOUR_NORMS, attention, feed_forward) | {"lm_head.weight": (GEMMA.vocab, GEMMA.hidden)},
    sentencepiece(GEMMA_HEAD), norm=0.0,
)  # fmt: skip
GEMMA3_TEXT = config(
    GEMMA, "Gemma3ForCausalLM", "gemma3_text", sliding_window=64, rope_theta=1e6, rope_local_base_freq=MISSING,
    rope_scaling={"rope_type": "linear", "factor": 8.0}, **GEMMA_IDS,
)  # fmt: skip
CHECKPOINTS["gemma3"] = Checkpoint(
    "Tiny-Gemma-3", GEMMA3_TEXT, layered(GEMMA, FOUR_NORMS, attention, head_norms, feed_forward),
    sentencepiece(GEMMA_HEAD, {"tokenizer.json": json.dumps(byte_fallback_json(GEMMA_HEAD))}), norm=0.0,
)  # fmt: skip
CHECKPOINTS["gemma3-vision"] = Checkpoint(
    "Tiny-Gemma-3-Vision",
    {
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "eos_token_id": [1, 106],
        "text_config": {k: v for k, v in GEMMA3_TEXT.items() if k not in ("architectures", "max_position_embeddings")},
        "vision_config": {"hidden_size": 8, "model_type": "siglip_vision_model", "num_hidden_layers": 1},
    },
    layered(GEMMA, FOUR_NORMS, attention, head_norms, feed_forward, prefix="language_model.model.") | VISION,
    sentencepiece(GEMMA_HEAD), norm=0.0,
)  # fmt: skip
GEMMA4_HEAD = (
    *GEMMA_HEAD[:5],
    ("<|tool_call>", USER_DEFINED),
    ("<tool_call|>", USER_DEFINED),
    ('<|"|>', USER_DEFINED),
)
GEMMA4_EXTRA = ("<|turn>", "<|channel>", "<turn|>", "plain")
GEMMA4 = Sizes(vocab=len(pieces(GEMMA4_HEAD)) + len(GEMMA4_EXTRA), layers=4, tied=True)
GEMMA4_ROPE: Config = {
    "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1e6, "rope_type": "proportional"},
    "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
}  # fmt: skip


def gemma4_config(**more: Any) -> Config:
    """Return the configuration of a Gemma 4, whose language model is a part of it."""
    text = config(
        GEMMA4, "", "gemma4_text", layer_types=["sliding_attention", "full_attention"] * 2, sliding_window=64,
        rope_parameters=GEMMA4_ROPE, rope_theta=MISSING, global_head_dim=32, final_logit_softcapping=30.0,
        attention_bias=False, architectures=MISSING, **(GEMMA_IDS | more),
    )  # fmt: skip
    return {"architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4", "text_config": text}


def gemma4_attention(sizes: Sizes, index: int) -> Shapes:
    """Return the attention of a layer of Gemma 4: every second has heads of twice the width."""
    full = index % 2 == 1
    local = replace(sizes, head_dim=32 if full else 16)
    return attention(local) | head_norms(local, index) | {"layer_scalar": (1,)}


def shared_attention(sizes: Sizes, index: int) -> Shapes:
    """Return the attention of a Gemma 4 whose last two layers share the keys and values of earlier ones."""
    shapes = gemma4_attention(sizes, index)
    return (
        shapes
        if index < 2
        else {name: shape for name, shape in shapes.items() if ".k_" not in name and ".v_" not in name}
    )


def doubled_feed_forward(sizes: Sizes, index: int) -> Shapes:
    """Return a feed-forward network that is twice as wide in the layers that share keys and values."""
    return feed_forward(replace(sizes, width=sizes.width * 2) if index >= 2 else sizes)


def layer_inputs(sizes: Sizes, _: int) -> Shapes:
    """Return what brings a layer's own embedding into it."""
    return {
        "per_layer_input_gate.weight": (32, sizes.hidden), "per_layer_projection.weight": (sizes.hidden, 32),
        "post_per_layer_input_norm.weight": (sizes.hidden,),
    }  # fmt: skip


def gemma4_experts(sizes: Sizes, _: int) -> Shapes:
    """Return the experts that stand beside the feed-forward network."""
    more = norms(
        "pre_feedforward_layernorm_2", "post_feedforward_layernorm_1", "post_feedforward_layernorm_2"
    )(sizes, 0)
    return more | {
        "router.proj.weight": (sizes.experts, sizes.hidden), "router.scale": (sizes.hidden,),
        "router.per_expert_scale": (sizes.experts,),
        "experts.gate_up_proj": (sizes.experts, 2 * sizes.expert_width, sizes.hidden),
        "experts.down_proj": (sizes.experts, sizes.hidden, sizes.expert_width),
    }  # fmt: skip


GEMMA4_PREFIX = "model.language_model."
CHECKPOINTS["gemma4"] = Checkpoint(
    "Tiny-Gemma-4-E2B-it",
    gemma4_config(
        num_kv_shared_layers=2, hidden_size_per_layer_input=32, vocab_size_per_layer_input=GEMMA4.vocab,
        use_double_wide_mlp=True, num_global_key_value_heads=None, moe_intermediate_size=None,
    ),
    layered(GEMMA4, FOUR_NORMS, shared_attention, doubled_feed_forward, layer_inputs, prefix=GEMMA4_PREFIX)
    | {
        f"{GEMMA4_PREFIX}embed_tokens_per_layer.weight": (GEMMA4.vocab, 128),
        f"{GEMMA4_PREFIX}per_layer_model_projection.weight": (128, GEMMA4.hidden),
        f"{GEMMA4_PREFIX}per_layer_projection_norm.weight": (32,), "model.vision_tower.patch_embedder.weight": (8, 8),
        "model.embed_vision.embedding_projection.weight": (8, 8), "model.audio_tower.output_proj.weight": (8, 8),
    },
    byte_fallback(GEMMA4_HEAD, GEMMA4_EXTRA), shards=2,
)  # fmt: skip
CHECKPOINTS["gemma4-moe"] = Checkpoint(
    "Tiny-Gemma-4-MoE",
    gemma4_config(
        num_kv_shared_layers=0, hidden_size_per_layer_input=0, num_global_key_value_heads=2, num_experts=4,
        top_k_experts=2, moe_intermediate_size=32, enable_moe_block=True,
    ),
    layered(GEMMA4, FOUR_NORMS, gemma4_attention, feed_forward, gemma4_experts, prefix=GEMMA4_PREFIX),
    byte_fallback(GEMMA4_HEAD, GEMMA4_EXTRA),
)  # fmt: skip
