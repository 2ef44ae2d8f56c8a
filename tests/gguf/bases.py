"""Sound headers of many kinds to be damaged: architectures, tokenizers, experts, and one whole model."""

import itertools
import struct
from pathlib import Path

from tests import gguf_files as g

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
WORDS = ["".join(letters) for letters in itertools.product("abcdehlorwt", repeat=2)] + list(
    "abcdefghijklmnopqrstuvwxyzHW ĠĊ▁."
)
DIMENSIONS = {
    "context_length": 64, "embedding_length": 32, "block_count": 1, "feed_forward_length": 32,
    "attention.head_count": 2, "attention.head_count_kv": 2, "rope.dimension_count": 16,
}  # fmt: skip
EXPERTS = {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32}
LATENT = {
    **EXPERTS, "attention.kv_lora_rank": 16, "attention.q_lora_rank": 16, "leading_dense_block_count": 0,
    "expert_shared_count": 1, "expert_group_count": 2, "expert_group_used_count": 1,
}  # fmt: skip
KINDS = {
    "llama-spm": ("llama", "llama", {}),
    "llama-bpe": ("llama", "gpt2", {}),
    "bert-wpm": ("bert", "bert", {}),
    "t5-ugm": ("t5", "t5", {"attention.relative_buckets_count": 32}),
    "qwen2": ("qwen2", "gpt2", {}),
    "qwen3moe": ("qwen3moe", "gpt2", EXPERTS),
    "gemma2": ("gemma2", "llama", {"attention.sliding_window": 32}),
    "phi3": ("phi3", "llama", {"rope.scaling.original_context_length": 32}),
    "deepseek2": ("deepseek2", "gpt2", LATENT),
    "mixtral": ("llama", "llama", EXPERTS),
    "falcon": ("falcon", "gpt2", {}),
    "gptneox": ("gptneox", "gpt2", {}),
}


def write_bases(folder: Path) -> list[Path]:
    """Write a header of each kind, without weights."""
    paths = []
    for name, (architecture, tokenizer, more) in KINDS.items():
        pairs = [*describe(architecture, more), *vocabulary(tokenizer)]
        paths.append(g.write(folder / f"{name}.gguf", g.container(pairs)))
    return paths


def describe(architecture, more):
    pairs = [g.text_pair("general.architecture", architecture), g.text_pair("general.name", "base")]
    pairs += [g.uint_pair(f"{architecture}.{key}", value) for key, value in {**DIMENSIONS, **more}.items()]
    for key in ("layer_norm_rms_epsilon", "layer_norm_epsilon"):
        pairs.append(g.float_pair(f"{architecture}.attention.{key}", 1e-5))
    pairs.append(g.float_pair(f"{architecture}.rope.freq_base", 10_000.0))
    pairs.append(g.text_pair(f"{architecture}.rope.scaling.type", "linear"))
    return pairs


def vocabulary(tokenizer):
    special = {"llama": ["<unk>", "<s>", "</s>"], "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]}
    first = special.get(tokenizer, ["<pad>", "</s>", "<unk>"])
    tokens = [*first, *(BYTES if tokenizer == "llama" else []), *WORDS]
    count = len(tokens)
    kinds = [2 if n < len(first) else 6 if token in BYTES else 1 for n, token in enumerate(tokens)]
    pairs = [
        g.text_pair("tokenizer.ggml.model", tokenizer),
        g.text_pair("tokenizer.ggml.pre", "default"),
        g.strings_pair("tokenizer.ggml.tokens", tokens),
        g.pair(
            "tokenizer.ggml.scores",
            g.ARRAY,
            struct.pack(f"<IQ{count}f", g.FLOAT32, count, *(-float(n) for n in range(count))),
        ),
        g.pair("tokenizer.ggml.token_type", g.ARRAY, struct.pack(f"<IQ{count}i", g.INT32, count, *kinds)),
        g.uint_pair("tokenizer.ggml.bos_token_id", 1),
        g.uint_pair("tokenizer.ggml.eos_token_id", 2),
    ]
    if tokenizer == "bert":
        pairs.append(g.uint_pair("tokenizer.ggml.seperator_token_id", 3))
    if tokenizer == "gpt2":
        pairs.append(
            g.strings_pair("tokenizer.ggml.merges", [f"{a} {b}" for a, b in ("he", "lo", "wo", "ab")])
        )
    return pairs


def write_whole_model(path: Path) -> Path:
    """Write a llama of one layer that loads, tokenizes and decodes; its weights are nearly nothing."""
    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_down", "ffn_up")
    tokens = 3 + len(BYTES) + len(WORDS)
    shapes = {
        "token_embd": (32, tokens),
        "output_norm": (32,),
        "blk.0.attn_norm": (32,),
        "blk.0.ffn_norm": (32,),
        **{f"blk.0.{name}": (32, 32) for name in square},
    }
    tensors, offset = [], 0
    for name, shape in shapes.items():
        tensors.append(g.tensor(f"{name}.weight", shape, 0, offset))
        offset += 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
    weights = struct.pack("<f", 0.01) * (offset // 4)
    return g.write(path, g.container([*describe("llama", {}), *vocabulary("llama")], tensors, weights))
