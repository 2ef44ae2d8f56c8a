"""Qwen: dense, with experts, and with linear attention."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.core.convert.checkpoints.files import Config, Shapes
from tests.core.convert.checkpoints.llama import GENERATION
from tests.core.convert.checkpoints.parts import (
    DENSE,
    FOUR_LAYERS,
    LARGE,
    MISSING,
    TWO_NORMS,
    Checkpoint,
    Sizes,
    attention,
    biases,
    config,
    experts,
    feed_forward,
    head_norms,
    layered,
    shared_expert,
    stacked_experts,
)  # fmt: skip
from tests.core.convert.checkpoints.vocabularies import CHAT, SMOLLM2, byte_level

CHECKPOINTS: dict[str, Checkpoint] = {}

QWEN = replace(LARGE, vocab=SMOLLM2 + 24)
QWEN_YARN: Config = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
QWEN3 = replace(LARGE, head_dim=32)
CHECKPOINTS["qwen2"] = Checkpoint(
    "Tiny-Qwen2.5-0.5B-Instruct",
    config(QWEN, "Qwen2ForCausalLM", "qwen2", rope_theta=1e6, rope_scaling=QWEN_YARN, use_sliding_window=False),
    layered(QWEN, *DENSE, biases("q", "k", "v")),
    byte_level(("<|tool|>", "<think>", "</think>"), post=True, add_bos_token=False, bos_token=None),
    files={"generation_config.json": GENERATION},
)  # fmt: skip
QWEN2_MOE = replace(LARGE, tied=False)
CHECKPOINTS["qwen2moe"] = Checkpoint(
    "Tiny-Qwen1.5-MoE",
    config(
        QWEN2_MOE, "Qwen2MoeForCausalLM", "qwen2_moe", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32,
        shared_expert_intermediate_size=64, decoder_sparse_step=1,
    ),
    layered(QWEN2_MOE, TWO_NORMS, attention, biases("q", "k", "v"), experts, shared_expert), byte_level(), shards=2,
)  # fmt: skip
CHECKPOINTS["qwen3"] = Checkpoint(
    "Tiny-Qwen3", config(QWEN3, "Qwen3ForCausalLM", "qwen3", head_dim=32, rms_norm_eps=MISSING),
    layered(QWEN3, *DENSE, head_norms), byte_level(chat_template=None), files={"chat_template.jinja": CHAT},
)  # fmt: skip
QWEN3_MOE = config(
    QWEN3, "Qwen3MoeForCausalLM", "qwen3_moe", head_dim=32, num_experts=4, num_experts_per_tok=2,
    moe_intermediate_size=32, norm_topk_prob=True,
)  # fmt: skip
CHECKPOINTS["qwen3moe"] = Checkpoint(
    "Tiny-Qwen3-4x1B-A1B", QWEN3_MOE, layered(QWEN3, TWO_NORMS, attention, head_norms, experts), byte_level()
)
CHECKPOINTS["qwen3moe-stacked"] = Checkpoint(
    "Tiny-Qwen3-Stacked",
    QWEN3_MOE,
    layered(QWEN3, TWO_NORMS, attention, head_norms, stacked_experts),
    byte_level(),
)
LINEAR: Config = {
    "head_dim": 32, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 32, "linear_value_head_dim": 32,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4,
}  # fmt: skip
KEYS, VALUES = 2 * 32, 4 * 32
HYBRID = replace(FOUR_LAYERS, head_dim=32)
MOE: Config = {
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 64,
}  # fmt: skip


def gated_attention(sizes: Sizes, _: int = 0) -> Shapes:
    """Return an attention whose query projection also makes an output gate."""
    shapes = attention(sizes)
    rows, columns = shapes["self_attn.q_proj.weight"]
    return shapes | {"self_attn.q_proj.weight": (2 * rows, columns)} | head_norms(sizes, 0)


def linear_attention(sizes: Sizes, inputs: Shapes) -> Shapes:
    """Return a linear attention with the given input projections."""
    shapes = inputs | {
        "conv1d.weight": (2 * KEYS + VALUES, 1, 4), "A_log": (4,), "dt_bias": (4,), "norm.weight": (32,),
        "out_proj.weight": (sizes.hidden, VALUES),
    }  # fmt: skip
    return {f"linear_attn.{name}": shape for name, shape in shapes.items()}


def next_layer(sizes: Sizes, index: int) -> Shapes:
    """Return the attention of a layer of Qwen3-Next: every fourth is a full one."""
    inputs: Shapes = {
        "in_proj_qkvz.weight": (2 * KEYS + 2 * VALUES, sizes.hidden),
        "in_proj_ba.weight": (8, sizes.hidden),
    }
    return gated_attention(sizes) if index % 4 == 3 else linear_attention(sizes, inputs)


def qwen35_layer(sizes: Sizes, index: int) -> Shapes:
    """Return the attention of a layer of Qwen3.5: every fourth is a full one."""
    inputs: Shapes = {
        "in_proj_qkv.weight": (2 * KEYS + VALUES, sizes.hidden), "in_proj_z.weight": (VALUES, sizes.hidden),
        "in_proj_a.weight": (4, sizes.hidden), "in_proj_b.weight": (4, sizes.hidden),
    }  # fmt: skip
    return gated_attention(sizes) if index % 4 == 3 else linear_attention(sizes, inputs)


def prediction(sizes: Sizes, *parts: Callable[[Sizes, int], Shapes]) -> Shapes:
    """Return the block that predicts one more token."""
    hidden = sizes.hidden
    shapes: Shapes = {"mtp.fc.weight": (hidden, 2 * hidden)}
    shapes |= {
        f"mtp.{name}.weight": (hidden,) for name in ("norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden")
    }
    for part in (TWO_NORMS, gated_attention, *parts):
        shapes |= {f"mtp.layers.0.{name}": shape for name, shape in part(sizes, 3).items()}
    return shapes


CHECKPOINTS["qwen3next"] = Checkpoint(
    "Tiny-Qwen3-Next",
    config(HYBRID, "Qwen3NextForCausalLM", "qwen3_next", rope_theta=1e7, partial_rotary_factor=0.25, **LINEAR, **MOE),
    layered(HYBRID, TWO_NORMS, next_layer, experts, shared_expert) | prediction(HYBRID, experts, shared_expert),
    byte_level(), norm=0.0, shards=2,
)  # fmt: skip
QWEN35_ROPE: Config = {
    "rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25, "mrope_interleaved": True,
    "mrope_section": [2, 1, 1],
}  # fmt: skip
QWEN35: Config = LINEAR | {
    "layer_types": ["linear_attention"] * 3 + ["full_attention"], "full_attention_interval": 4,
    "mtp_num_hidden_layers": 1, "rope_parameters": QWEN35_ROPE, "rope_theta": MISSING, "attn_output_gate": True,
}  # fmt: skip


def qwen35_config(architecture: str, model_type: str, **more: Any) -> Config:
    """Return the configuration of a Qwen3.5, whose language model is a part of it."""
    text = config(HYBRID, architecture, model_type + "_text", **QWEN35, **more)
    del text["architectures"]
    return {
        "architectures": [architecture], "model_type": model_type, "text_config": text, "tie_word_embeddings": True,
        "vision_config": {"depth": 1, "hidden_size": 8},
    }  # fmt: skip


QWEN_VISION: Shapes = {
    "model.visual.blocks.0.attn.qkv.weight": (8, 8),
    "model.visual.merger.norm.weight": (8,),
}
QWEN_PREFIX = "model.language_model."
CHECKPOINTS["qwen35"] = Checkpoint(
    "Tiny-Qwen3.5", qwen35_config("Qwen3_5ForConditionalGeneration", "qwen3_5"),
    layered(HYBRID, TWO_NORMS, qwen35_layer, feed_forward, prefix=QWEN_PREFIX)
    | prediction(HYBRID, feed_forward) | QWEN_VISION,
    byte_level(post=True), norm=0.0,
)  # fmt: skip
CHECKPOINTS["qwen35moe"] = Checkpoint(
    "Tiny-Qwen3.5-MoE", qwen35_config("Qwen3_5MoeForConditionalGeneration", "qwen3_5_moe", intermediate_size=MISSING, **MOE),
    layered(HYBRID, TWO_NORMS, qwen35_layer, stacked_experts, shared_expert, prefix=QWEN_PREFIX)
    | prediction(HYBRID, stacked_experts, shared_expert) | QWEN_VISION,
    byte_level(post=True), norm=0.0,
)  # fmt: skip
