"""Llama and what is built like it: SmolLM2, Yi, Mistral; Mixtral with experts."""

from __future__ import annotations

from localllm.core.convert.architectures.entry import Architecture, Experts, count, made, rotary_pairs
from localllm.core.convert.architectures.hyperparameters import COMMON, llama3_factors
from localllm.core.convert.config import Defaults, Filled

LLAMA_KEYS = (
    *COMMON,
    count("vocab_size", "vocab_size"),
    made("rope.dimension_count", "u32", lambda origin: origin.config.head_dim),
)
LLAMA_CLASS: Defaults = {
    "head_dim": Filled(lambda config: config.head_dim),
    "num_key_value_heads": Filled(lambda config: config.count("num_attention_heads")),
    "max_position_embeddings": 2048,
    "rope_theta": 1e4,
    "rms_norm_eps": 1e-6,
}
MISTRAL_CLASS: Defaults = {
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rope_theta": 1e4,
    "rms_norm_eps": 1e-6,
}

ENTRIES = (
    Architecture(
        name="llama",
        classes=("LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM"),
        vocabulary=("sentencepiece", "byte_fallback", "bpe"),
        defaults={
            "llama": LLAMA_CLASS,
            "mistral": MISTRAL_CLASS,
            "mixtral": {
                "num_key_value_heads": 8,
                "max_position_embeddings": 131072,
                "rope_theta": 1e6,
                "rms_norm_eps": 1e-5,
                "num_local_experts": 8,
                "num_experts_per_tok": 2,
            },
        },
        rules=(
            *rotary_pairs(),
            Experts(
                r"model\.layers\.(?P<layer>\d+)\.block_sparse_moe\.experts\.(?P<expert>\d+)\.(?P<part>w[123])\.weight",
                {
                    "w1": "blk.{layer}.ffn_gate_exps.weight",
                    "w2": "blk.{layer}.ffn_down_exps.weight",
                    "w3": "blk.{layer}.ffn_up_exps.weight",
                },
            ),
        ),
        keys=LLAMA_KEYS,
        extra_tensors=llama3_factors,
    ),
)
