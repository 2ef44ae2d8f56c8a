"""Phi, OLMo, GLM, DeepSeek and BitNet."""

import json
from dataclasses import replace

from tests.core.convert.checkpoints.files import Config, Shapes, Tensors, stored
from tests.core.convert.checkpoints.parts import (
    DENSE,
    FOUR_LAYERS,
    LARGE,
    MISSING,
    PADDED,
    TWO_NORMS,
    Checkpoint,
    Sizes,
    attention,
    biases,
    config,
    experts,
    feed_forward,
    layered,
    network,
    norms,
)  # fmt: skip
from tests.core.convert.checkpoints.values import random_for, steps
from tests.core.convert.checkpoints.vocabularies import (
    LLAMA_HEAD,
    LLAMA_PIECES,
    SMOLLM2,
    added,
    byte_fallback_json,
    byte_level,
    sentencepiece,
)  # fmt: skip

CHECKPOINTS: dict[str, Checkpoint] = {}


def fused(sizes: Sizes, _: int) -> Shapes:
    """Return Phi's attention and feed-forward network, each with one projection in."""
    wide = sizes.heads * sizes.head_dim
    return {
        "self_attn.qkv_proj.weight": (wide + 2 * sizes.kv_heads * sizes.head_dim, sizes.hidden),
        "self_attn.o_proj.weight": (sizes.hidden, wide),
    } | fused_feed_forward(sizes, 0)


def fused_feed_forward(sizes: Sizes, _: int) -> Shapes:
    """Return a feed-forward network whose gate and up projections are one."""
    return {
        "mlp.gate_up_proj.weight": (2 * sizes.width, sizes.hidden),
        "mlp.down_proj.weight": (sizes.hidden, sizes.width),
    }


PHI_EXTRA = (
    added(LLAMA_PIECES, "<|end|>"),
    added(LLAMA_PIECES + 1, "<|assistant|>"),
    added(LLAMA_PIECES + 2, "<|fim|>", special=False),
)
LONGROPE: Config = {
    "type": "longrope", "short_factor": [1.0 + 0.0625 * i for i in range(8)],
    "long_factor": [1.1, 1.3, 1.7, 2.9, 4.3, 8.9, 17.3, 39.7],
}  # fmt: skip
PHI4 = replace(LARGE, tied=False)
CHECKPOINTS["phi3"] = Checkpoint(
    "Tiny-Phi-3-mini-128k-instruct",
    config(
        PADDED, "Phi3ForCausalLM", "phi3", max_position_embeddings=131072, original_max_position_embeddings=4096,
        rope_scaling=LONGROPE, sliding_window=262144, eos_token_id=LLAMA_PIECES, pad_token_id=0,
        auto_map={"AutoConfig": "configuration_phi3.Phi3Config"},
    ),
    layered(PADDED, TWO_NORMS, fused),
    sentencepiece(
        more={
            "tokenizer.json": json.dumps(byte_fallback_json(LLAMA_HEAD, PHI_EXTRA)),
            "added_tokens.json": {"<|end|>": LLAMA_PIECES, "<|system|>": LLAMA_PIECES + 3, "<|beyond|>": 9999},
        },
        add_bos_token=False,
    ),
)  # fmt: skip
CHECKPOINTS["phi4"] = Checkpoint(
    "Tiny-Phi-4",
    config(PHI4, "Phi3ForCausalLM", "phi3", sliding_window=None, rope_scaling=None, original_max_position_embeddings=MISSING),
    layered(PHI4, TWO_NORMS, fused), byte_level(),
)  # fmt: skip


def wide_norms(sizes: Sizes, _: int) -> Shapes:
    """Return the norms of queries and keys over all heads."""
    wide, narrow = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    return {"self_attn.q_norm.weight": (wide,), "self_attn.k_norm.weight": (narrow,)}


OLMO = (norms("post_attention_layernorm", "post_feedforward_layernorm"), attention, wide_norms, feed_forward)
OLMO2 = replace(LARGE, kv_heads=4, tied=False)
OLMO3 = replace(FOUR_LAYERS, tied=False)
CHECKPOINTS["olmo2"] = Checkpoint(
    "Tiny-OLMo-2",
    config(OLMO2, "Olmo2ForCausalLM", "olmo2", num_key_value_heads=MISSING, rope_theta=500000, rms_norm_eps=1e-06),
    layered(OLMO2, *OLMO), byte_level(bos_token=None),
)  # fmt: skip
CHECKPOINTS["olmo3"] = Checkpoint(
    "Tiny-Olmo-3",
    config(OLMO3, "Olmo3ForCausalLM", "olmo3", sliding_window=64),
    layered(OLMO3, *OLMO),
    byte_level(),
)
GLM4 = replace(LARGE, vocab=SMOLLM2 + 8)
CHECKPOINTS["glm4"] = Checkpoint(
    "Tiny-GLM-4-9B-0414",
    config(
        GLM4, "Glm4ForCausalLM", "glm4", head_dim=8, partial_rotary_factor=0.5, attention_bias=True,
        eos_token_id=[0, SMOLLM2], pad_token_id=0, bos_token_id=MISSING,
    ),
    layered(
        GLM4, norms("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm"),
        attention, biases("q", "k", "v"), fused_feed_forward,
    ),
    byte_level(("<|user|>", "<|assistant|>"), bos_token=None, eos_token="<|endoftext|>", unk_token=None),
)  # fmt: skip
DEEPSEEK = replace(LARGE, layers=2, kv_heads=4)
NOPE, ROTARY, LATENT, QUERY_LATENT = 16, 8, 32, 24
LATENT_KEYS: Config = {
    "q_lora_rank": QUERY_LATENT, "kv_lora_rank": LATENT, "qk_rope_head_dim": ROTARY, "qk_nope_head_dim": NOPE,
    "v_head_dim": NOPE, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
    "first_k_dense_replace": 1, "moe_layer_freq": 1,
}  # fmt: skip
DEEPSEEK_YARN: Config = {
    "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
    "mscale": 0.707, "mscale_all_dim": 0.707,
}  # fmt: skip


def latent_attention(sizes: Sizes, _: int) -> Shapes:
    """Return an attention whose queries, keys and values pass through small latent vectors."""
    shapes: Shapes = {
        "q_a_proj.weight": (QUERY_LATENT, sizes.hidden), "q_a_layernorm.weight": (QUERY_LATENT,),
        "q_b_proj.weight": (sizes.heads * (NOPE + ROTARY), QUERY_LATENT),
        "kv_a_proj_with_mqa.weight": (LATENT + ROTARY, sizes.hidden), "kv_a_layernorm.weight": (LATENT,),
        "kv_b_proj.weight": (sizes.heads * 2 * NOPE, LATENT), "o_proj.weight": (sizes.hidden, sizes.heads * NOPE),
    }  # fmt: skip
    return {f"self_attn.{name}": shape for name, shape in shapes.items()}


def deepseek_experts(sizes: Sizes, index: int) -> Shapes:
    """Return a dense network in the first layer, experts with two shared ones in the others."""
    return (
        feed_forward(sizes)
        if index == 0
        else experts(sizes) | network("mlp.shared_experts", sizes.hidden, 64)
    )


def deepseek3_experts(sizes: Sizes, index: int) -> Shapes:
    """Return the same with the correction of the router."""
    bias: Shapes = {"mlp.gate.e_score_correction_bias": (sizes.experts,)} if index else {}
    return deepseek_experts(sizes, index) | bias


def beyond(sizes: Sizes) -> Shapes:
    """Return the layer behind the last one, which predicts one more token."""
    parts = (TWO_NORMS, latent_attention, deepseek3_experts, norms("enorm", "hnorm", "shared_head.norm"))
    shapes: Shapes = {"eh_proj.weight": (sizes.hidden, 2 * sizes.hidden)}
    for part in parts:
        shapes |= part(sizes, sizes.layers)
    return {f"model.layers.{sizes.layers}.{name}": shape for name, shape in shapes.items()}


CHECKPOINTS["deepseek2"] = Checkpoint(
    "Tiny-DeepSeek-V2",
    config(
        DEEPSEEK, "DeepseekV2ForCausalLM", "deepseek_v2", rope_scaling=DEEPSEEK_YARN, n_shared_experts=2,
        routed_scaling_factor=16.0, norm_topk_prob=False, scoring_func="softmax", n_group=2, topk_group=1,
        auto_map={"AutoConfig": "configuration_deepseek.DeepseekV2Config"}, **LATENT_KEYS,
    ),
    layered(DEEPSEEK, TWO_NORMS, latent_attention, deepseek_experts), byte_level(), shards=2,
)  # fmt: skip
DEEPSEEK3 = replace(DEEPSEEK, vocab=SMOLLM2 + 8, tied=False)
CHECKPOINTS["deepseek3"] = Checkpoint(
    "Tiny-DeepSeek-V3",
    config(
        DEEPSEEK3, "DeepseekV3ForCausalLM", "deepseek_v3", rope_scaling=DEEPSEEK_YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
        n_shared_experts=2, norm_topk_prob=True, scoring_func="sigmoid", topk_method="noaux_tc", n_group=2, topk_group=1,
        num_nextn_predict_layers=1, **LATENT_KEYS,
    ),
    layered(DEEPSEEK3, TWO_NORMS, latent_attention, deepseek3_experts) | beyond(DEEPSEEK3), byte_level(post=True),
)  # fmt: skip
BITNET = Sizes(hidden=256, layers=2, heads=4, kv_heads=4, head_dim=64, width=512, tied=True)
BITNET_SHAPES = layered(
    BITNET,
    *DENSE,
    lambda sizes, _: {"self_attn.inner_attn_ln.weight": (256,), "mlp.ffn_layernorm.weight": (sizes.width,)},
)


def exact_means() -> Tensors:
    """Return projections whose magnitudes add up without rounding in any order, as their mean decides their values."""
    matrices = {key: shape for key, shape in BITNET_SHAPES.items() if key.endswith("_proj.weight")}
    return {
        key: stored(steps(random_for(f"bitnet/{key}"), shape, -127, 128, 2.0**-10), "F16")
        for key, shape in matrices.items()
    }


CHECKPOINTS["bitnet"] = Checkpoint(
    "Tiny-BitNet-b1.58",
    config(BITNET, "BitnetForCausalLM", "bitnet", torch_dtype="float16", rope_theta=MISSING, weight_bits=1, input_bits=8),
    BITNET_SHAPES, sentencepiece(), dtype="F16", own=exact_means,
)  # fmt: skip
