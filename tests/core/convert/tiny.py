"""The smallest checkpoint that converts and loads: Llama with two layers and a tokenizer of bytes.

folder = write_tiny(tmp_path / "tiny")                      # sound
write_tiny(folder, config={"num_hidden_layers": 3})         # said otherwise
write_safetensors(folder / "model.safetensors", {…})        # other weights
"""

import json
import struct

import numpy as np

HIDDEN, HEADS, KV_HEADS, INNER, LAYERS, TOKENS = 64, 4, 2, 96, 2, 259
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "num_hidden_layers": LAYERS,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "vocab_size": TOKENS,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
NAMES = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
    "I32": np.int32,
    "U8": np.uint8,
    "F64": np.float64,
}


def write_tiny(folder, *, config=None, weights=None, dtype="BF16", seed=1):
    """Write a sound checkpoint, or one with some of its parts replaced; None as a weight leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", CONFIG | (config or {}))
    write_tokenizer(folder)
    tensors = tiny_weights(seed, dtype) | (weights or {})
    write_safetensors(folder / "model.safetensors", {k: v for k, v in tensors.items() if v is not None})
    return folder


def tiny_weights(seed=1, dtype="BF16"):
    """Return (dtype, values) by name, random; norms are near one."""
    rng = np.random.default_rng(seed)

    def matrix(*shape):
        return dtype, stored(rng.normal(0, 0.05, shape).astype(np.float32), dtype)

    def norm():
        return dtype, stored((1 + rng.normal(0, 0.05, HIDDEN)).astype(np.float32), dtype)

    made = {"model.embed_tokens.weight": matrix(TOKENS, HIDDEN), "model.norm.weight": norm()}
    head = HIDDEN // HEADS
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        made |= {
            f"{prefix}input_layernorm.weight": norm(),
            f"{prefix}post_attention_layernorm.weight": norm(),
            f"{prefix}self_attn.q_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{prefix}self_attn.k_proj.weight": matrix(KV_HEADS * head, HIDDEN),
            f"{prefix}self_attn.v_proj.weight": matrix(KV_HEADS * head, HIDDEN),
            f"{prefix}self_attn.o_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{prefix}mlp.gate_proj.weight": matrix(INNER, HIDDEN),
            f"{prefix}mlp.up_proj.weight": matrix(INNER, HIDDEN),
            f"{prefix}mlp.down_proj.weight": matrix(HIDDEN, INNER),
        }
    return made


def stored(values, dtype):
    """Return float32 values as a checkpoint stores them; BF16 is cut off, which random values do not mind."""
    return (
        (values.view(np.uint32) >> 16).astype(np.uint16) if dtype == "BF16" else values.astype(NAMES[dtype])
    )


def write_tokenizer(folder):
    """Write a tokenizer of single bytes."""
    specials = ["<unk>", "<s>", "</s>"]
    tokens = [*specials, *(f"<0x{byte:02X}>" for byte in range(256))]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    model = {
        "type": "BPE",
        "byte_fallback": True,
        "unk_token": "<unk>",
        "fuse_unk": True,
        "vocab": {token: number for number, token in enumerate(tokens)},
        "merges": [],
    }
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "added_tokens": [
                {"id": number, "content": token, **flags} for number, token in enumerate(specials)
            ],
            "normalizer": None,
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
            "model": model,
        },
    )
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizer",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "chat_template": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
        },
    )


def write_safetensors(path, tensors):
    """Write (dtype, values) by name."""
    entries, offset = {}, 0
    for name, (dtype, values) in tensors.items():
        entries[name] = {
            "dtype": dtype,
            "shape": list(values.shape),
            "data_offsets": [offset, offset + values.nbytes],
        }
        offset += values.nbytes
    write_raw(path, entries, b"".join(values.tobytes() for _, values in tensors.values()))


def write_raw(path, entries, data, length=None):
    """Write a file of any header and any data; `length` is what it says its header has."""
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)


def write_json(path, value):
    """Write JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")
