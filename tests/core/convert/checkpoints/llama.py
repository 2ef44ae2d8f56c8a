"""Llama and what is built like it."""

from dataclasses import replace

from tests.core.convert.checkpoints.files import Config, Shapes
from tests.core.convert.checkpoints.parts import (
    DENSE,
    FOUR_LAYERS,
    LARGE,
    MISSING,
    PADDED,
    TWO_NORMS,
    VISION,
    Checkpoint,
    Sizes,
    attention,
    biases,
    config,
    layered,
)  # fmt: skip
from tests.core.convert.checkpoints.vocabularies import (
    CHAT,
    LLAMA_HEAD,
    LLAMA_PIECES,
    SMOLLM2,
    byte_fallback,
    byte_level,
    sentencepiece,
)  # fmt: skip

CHECKPOINTS: dict[str, Checkpoint] = {}

CARD = """---
license: apache-2.0
language:
- en
- no
base_model: someone/Small-7B-v0.3
datasets:
- someone/texts
pipeline_tag: text-generation
tags:
- tiny
---
# A small model
"""
GENERATION: Config = {
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 20,
    "top_p": 0.8,
    "repetition_penalty": 1.05,
}
LLAMA3_ROPE: Config = {
    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
LLAMA3 = replace(LARGE, head_dim=64)


def mixtral_experts(sizes: Sizes, _: int = 0) -> Shapes:
    """Return Mixtral's router and experts."""
    name, hidden = "block_sparse_moe", sizes.hidden
    shapes: Shapes = {f"{name}.gate.weight": (sizes.experts, hidden)}
    for index in range(sizes.experts):
        shapes[f"{name}.experts.{index}.w1.weight"] = (sizes.width, hidden)
        shapes[f"{name}.experts.{index}.w2.weight"] = (hidden, sizes.width)
        shapes[f"{name}.experts.{index}.w3.weight"] = (sizes.width, hidden)
    return shapes


CHECKPOINTS["llama"] = Checkpoint(
    "Tiny-Llama-3.2-1B-Instruct",
    config(
        LLAMA3, "LlamaForCausalLM", "llama", head_dim=64, rope_theta=500000.0, rope_scaling=LLAMA3_ROPE,
        max_position_embeddings=131072, eos_token_id=[2, 0],
    ),
    layered(LLAMA3, *DENSE), byte_level(), shards=2, files={"README.md": CARD, "generation_config.json": GENERATION},
)  # fmt: skip
CHECKPOINTS["llama-spm"] = Checkpoint(
    "Tiny-Llama-Spm",
    config(
        PADDED, "LlamaForCausalLM", "llama", attention_bias=True, max_position_embeddings=MISSING,
        rms_norm_eps=MISSING, rope_theta=MISSING, pad_token_id=None, torch_dtype="float16",
    ),
    layered(PADDED, *DENSE, biases("q", "k", "v", "o")),
    sentencepiece(
        more={"added_tokens.json": {"<|user|>": LLAMA_PIECES, "<extra>": LLAMA_PIECES + 1, "<beyond>": 9999}},
        chat_template=[{"name": "default", "template": CHAT}], add_prefix_space=True,
    ),
    dtype="F16",
)  # fmt: skip
JSON_ONLY = replace(PADDED, vocab=LLAMA_PIECES + 3, width=80)
CHECKPOINTS["llama-json"] = Checkpoint(
    "Tiny-Llama-Json",
    config(
        JSON_ONLY, "LlamaForCausalLM", "llama", rope_scaling={"type": "linear", "factor": 4.0},
        num_key_value_heads=4, torch_dtype="float32",
    ),
    layered(replace(JSON_ONLY, kv_heads=4), *DENSE),
    byte_fallback(LLAMA_HEAD, ("<|turn|>", "visible token", "<pad>"), pad_token="<pad>"),
    dtype="F32",
)  # fmt: skip
CHECKPOINTS["mistral"] = Checkpoint(
    "Tiny-Mistral-v0.1",
    config(
        PADDED, "MistralForCausalLM", "mistral", sliding_window=4096, num_key_value_heads=2,
        max_position_embeddings=MISSING, rms_norm_eps=MISSING,
    ),
    layered(PADDED, *DENSE), sentencepiece(), shards=2,
)  # fmt: skip
CHECKPOINTS["mixtral"] = Checkpoint(
    "Tiny-Mixtral-4x7B",
    config(
        PADDED, "MixtralForCausalLM", "mixtral", num_local_experts=4, num_experts_per_tok=2, rope_theta=1e6,
        head_dim=None, sliding_window=None,
    ),
    layered(PADDED, TWO_NORMS, attention, mixtral_experts), sentencepiece(), shards=2,
)  # fmt: skip
CHECKPOINTS["smollm3"] = Checkpoint(
    "Tiny-SmolLM3",
    config(FOUR_LAYERS, "SmolLM3ForCausalLM", "smollm3", rope_theta=5e6, no_rope_layers=[1, 1, 1, 0]),
    layered(FOUR_LAYERS, *DENSE), byte_level(post=True, pairs=True),
)  # fmt: skip
GRANITE = replace(LARGE, vocab=SMOLLM2 + 8)
CHECKPOINTS["granite"] = Checkpoint(
    "Tiny-Granite",
    config(
        GRANITE, "GraniteForCausalLM", "granite", attention_multiplier=0.125, embedding_multiplier=12.0,
        residual_multiplier=0.22, logits_scaling=8.0,
    ),
    layered(GRANITE, *DENSE), byte_level(),
)  # fmt: skip
YARN: Config = {
    "rope_type": "yarn", "type": "yarn", "factor": 16.0, "original_max_position_embeddings": 16384,
    "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
    "rope_theta": 1000000.0,
}  # fmt: skip
MINISTRAL3 = replace(LARGE, vocab=SMOLLM2 + 2, head_dim=32, tied=False)
MINISTRAL3_TEXT = config(
    MINISTRAL3, "Ministral3ForCausalLM", "ministral3", head_dim=32, rope_parameters=YARN, rope_theta=MISSING,
    max_position_embeddings=262144, sliding_window=None,
)  # fmt: skip
CHECKPOINTS["ministral3"] = Checkpoint(
    "Tiny-Ministral-3", MINISTRAL3_TEXT, layered(MINISTRAL3, *DENSE), byte_level(("<|a|>", "[INST]"))
)
CHECKPOINTS["ministral3-vision"] = Checkpoint(
    "Tiny-Ministral-3-Vision",
    {
        "architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3",
        "text_config": {k: v for k, v in MINISTRAL3_TEXT.items() if k != "architectures"},
        "vision_config": {"hidden_size": 8, "model_type": "pixtral", "num_hidden_layers": 1},
        "torch_dtype": "bfloat16", "vision_feature_layer": -1,
    },
    layered(MINISTRAL3, *DENSE, prefix="language_model.model.") | VISION, byte_level(("<|a|>", "[INST]")),
)  # fmt: skip
