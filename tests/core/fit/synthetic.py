"""GGUF headers of models at their true dimensions, with a hole where the weights would be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import gguf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from localllm.core.shape import ModelShape

Tensor = tuple[str, tuple[int, ...]]  # name, dimensions fastest first; one dimension = float32, else Q8_0
QK_NORM = {
    "qwen3",
    "qwen3moe",
    "qwen3vl",
    "qwen3vlmoe",
    "gemma3",
    "gemma4",
    "qwen35",
    "qwen35moe",
    "qwen3next",
    "apertus",
    "gemma-embedding",
}
BIASED = {"qwen2", "qwen2vl", "gpt-oss", "glm4moe", "seed_oss", "glm4"}
LAYER_NORM = {"command-r", "cohere2", "bert", "nomic-bert"}
ROTATED = 64
PLAIN_PARTS = ("gate_inp", "conv1d", "position_embd", "token_types")


def all_q8_0(_name: str, _row: int, _shape: ModelShape) -> str:
    """Return the type of every matrix of a Q8_0 file."""
    return "Q8_0"


def write_header(
    path: Path, shape: ModelShape, type_of: Callable[[str, int, ModelShape], str] = all_q8_0
) -> None:
    """Write the header of a file, by default Q8_0; it has its full length and takes a few KB of disk."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_tokenizer_model("no_vocab")
    for key, value in metadata(shape).items():
        name = key[1:] if key.startswith("@") else f"{shape.architecture}.{key}"
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        else:
            writer.add_array(name, value)
    size = 0
    for name, dimensions in tensors(shape):
        plain = len(dimensions) == 1 or name.endswith(".bias") or any(part in name for part in PLAIN_PARTS)
        kind = gguf.GGMLQuantizationType["F32" if plain else type_of(name, dimensions[0], shape)]
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        nbytes = math.prod(dimensions) // block * block_bytes
        stored = tuple(reversed(dimensions))
        if not plain:
            stored = gguf.quant_shape_to_byte_shape(stored, kind)
        writer.add_tensor_info(name, stored, gguf.np.dtype("float32" if plain else "uint8"), nbytes, kind)
        size += -(-nbytes // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.seek(0, 2)
        header = -(-file.tell() // 32) * 32
        file.truncate(header + size)


def metadata(shape: ModelShape) -> dict[str, object]:
    """Return the hyperparameters without the architecture's prefix."""
    epsilon = "layer_norm_epsilon" if shape.architecture in LAYER_NORM else "layer_norm_rms_epsilon"
    pairs: dict[str, object] = {
        "block_count": shape.layers,
        "context_length": shape.trained_context,
        "embedding_length": shape.embedding_width,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.key_length,
        "attention.value_length": shape.value_length,
        f"attention.{epsilon}": 1e-6,
        "rope.freq_base": 1e6,
        "rope.dimension_count": min(shape.key_length, 128),
        "vocab_size": shape.vocabulary,
    }
    if shape.experts:
        pairs |= {
            "expert_count": shape.experts,
            "expert_used_count": shape.experts_used,
            "expert_feed_forward_length": shape.expert_feed_forward,
            "feed_forward_length": shape.feed_forward or shape.expert_feed_forward,
            "leading_dense_block_count": shape.layers - shape.expert_layers,
            "expert_weights_scale": 1.0,
            "expert_gating_func": 2,
        }
        if shape.shared_feed_forward:
            pairs["expert_shared_feed_forward_length"] = shape.shared_feed_forward
            pairs["expert_shared_count"] = max(1, shape.shared_feed_forward // shape.expert_feed_forward)
    if shape.sliding_window:
        pairs["attention.sliding_window"] = shape.sliding_window
    return pairs | special(shape)


def special(shape: ModelShape) -> dict[str, object]:  # noqa: PLR0911
    """Return what one architecture wants besides."""
    match shape.architecture:
        case "deepseek2":
            return {
                "attention.head_count_kv": 1,
                "attention.key_length": shape.mla_width,
                "attention.value_length": shape.mla_width - ROTATED,
                "attention.key_length_mla": shape.key_length,
                "attention.value_length_mla": shape.value_length,
                "attention.kv_lora_rank": shape.mla_width - ROTATED,
                "attention.q_lora_rank": shape.query_rank,
                "rope.dimension_count": ROTATED,
            }
        case "qwen35" | "qwen35moe" | "qwen3next":
            return {
                "ssm.conv_kernel": 4,
                "ssm.inner_size": shape.recurrent_inner,
                "ssm.state_size": 128,
                "ssm.time_step_rank": shape.recurrent_inner // 128,
                "ssm.group_count": shape.recurrent_keys // 128,
                "full_attention_interval": 4,
                "rope.dimension_count": 64,
                "rope.dimension_sections": [11, 11, 10, 0],
            }
        case "gemma4":
            windows = [i % 6 != 5 for i in range(shape.layers)]
            return {
                "attention.sliding_window_pattern": windows,
                "attention.head_count_kv": [shape.window_kv_heads if w else shape.kv_heads for w in windows],
                "attention.key_length_swa": shape.window_head_length,
                "attention.value_length_swa": shape.window_head_length,
                "attention.shared_kv_layers": 0,
                "embedding_length_per_layer_input": 0,
                "rope.dimension_count_swa": shape.window_head_length,
                "rope.dimension_count": shape.key_length,
            }
        case "qwen2vl" | "qwen3vl" | "qwen3vlmoe":
            return {"rope.dimension_sections": [24, 20, 20, 0], "n_deepstack_layers": 3}
        case "bert" | "nomic-bert" | "gemma-embedding":
            return {
                "attention.causal": False,
                "pooling_type": 1,
                "@tokenizer.ggml.token_type_count": 2,
            }
        case "apertus":
            numbers = [0.8] * shape.layers
            names = ("alpha_n", "alpha_p", "beta", "eps")
            return {f"xielu.{name}": numbers for name in names} | {
                f"@xielu.{name}": numbers for name in names
            }
        case "granite" | "command-r" | "cohere2":
            return {"logit_scale": 1.0, "embedding_scale": 1.0, "residual_scale": 1.0, "attention.scale": 1.0}
        case _:
            return {}


def tensors(shape: ModelShape) -> Iterator[Tensor]:
    """Yield every tensor that llama.cpp asks for."""
    width, architecture = shape.embedding_width, shape.architecture
    yield "token_embd.weight", (width, shape.vocabulary)
    if architecture in ("bert", "nomic-bert"):
        yield from bert(shape)
        return
    yield "output_norm.weight", (width,)
    if not shape.tied_embeddings:
        yield "output.weight", (width, shape.vocabulary)
    if architecture == "gemma4":
        yield "rope_freqs.weight", (shape.key_length // 2,)
    for layer in range(shape.layers):
        b = f"blk.{layer}."
        if architecture not in ("olmo2", "exaone4"):
            yield b + "attn_norm.weight", (width,)
        if shape.mla_width:
            yield from latent(shape, b)
        elif shape.recurrent_layers and layer % 4 != 3:
            yield from recurrent(shape, b)
        else:
            yield from attention(shape, layer, b)
        yield from norms(shape, b)
        yield from feed_forward(shape, layer, b)


def bert(shape: ModelShape) -> Iterator[Tensor]:
    width, queries = shape.embedding_width, shape.heads * shape.key_length
    yield "token_types.weight", (width, 2)
    yield from normalization("token_embd_norm", width)
    if shape.architecture == "bert":
        yield "position_embd.weight", (width, shape.trained_context)
    for layer in range(shape.layers):
        b = f"blk.{layer}."
        if shape.architecture == "nomic-bert":
            yield b + "attn_qkv.weight", (width, 3 * queries)
            yield b + "ffn_gate.weight", (width, shape.feed_forward)
        else:
            for name in ("attn_q", "attn_k", "attn_v"):
                yield f"{b}{name}.weight", (width, queries)
                yield f"{b}{name}.bias", (queries,)
        yield b + "attn_output.weight", (queries, width)
        yield b + "ffn_up.weight", (width, shape.feed_forward)
        yield b + "ffn_down.weight", (shape.feed_forward, width)
        yield from normalization(b + "attn_output_norm", width)
        yield from normalization(b + "layer_output_norm", width)


def normalization(name: str, width: int) -> Iterator[Tensor]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def norms(shape: ModelShape, b: str) -> Iterator[Tensor]:
    width, architecture = shape.embedding_width, shape.architecture
    if architecture in ("qwen35", "qwen35moe", "qwen3next", "gpt-oss", "glm4moe", "seed_oss"):
        yield b + "post_attention_norm.weight", (width,)
        return
    if architecture in ("gemma2", "gemma3", "gemma4", "gemma-embedding", "olmo2", "exaone4", "glm4"):
        yield b + "post_attention_norm.weight", (width,)
        yield b + "post_ffw_norm.weight", (width,)
    if architecture == "gemma4" and shape.experts:
        yield b + "pre_ffw_norm_2.weight", (width,)
        yield b + "post_ffw_norm_1.weight", (width,)
        yield b + "post_ffw_norm_2.weight", (width,)
        yield b + "ffn_gate_inp.scale", (width,)
    if architecture not in ("olmo2", "exaone4", "command-r", "cohere2"):
        yield b + "ffn_norm.weight", (width,)


def attention(shape: ModelShape, layer: int, b: str) -> Iterator[Tensor]:
    width, key, value, kv_heads = shape.embedding_width, shape.key_length, shape.value_length, shape.kv_heads
    narrow = shape.architecture == "gemma4" and layer % 6 != 5
    if narrow:
        key = value = shape.window_head_length
        kv_heads = shape.window_kv_heads
    queries = shape.heads * key
    if shape.architecture == "phi3":
        yield b + "attn_qkv.weight", (width, queries + kv_heads * (key + value))
    else:
        yield b + "attn_q.weight", (width, queries * (2 if shape.recurrent_layers else 1))
        yield b + "attn_k.weight", (width, kv_heads * key)
        if shape.architecture != "gemma4" or narrow:
            yield b + "attn_v.weight", (width, kv_heads * value)
    yield b + "attn_output.weight", (shape.heads * value, width)
    if shape.architecture in QK_NORM or shape.architecture == "exaone4":
        yield b + "attn_q_norm.weight", (key,)
        yield b + "attn_k_norm.weight", (key,)
    if shape.architecture in ("olmo2", "minimax-m2"):
        yield b + "attn_q_norm.weight", (queries,)
        yield b + "attn_k_norm.weight", (kv_heads * key,)
    if shape.architecture in BIASED:
        yield b + "attn_q.bias", (queries,)
        yield b + "attn_k.bias", (kv_heads * key,)
        yield b + "attn_v.bias", (kv_heads * value,)
    if shape.architecture == "gpt-oss":
        yield b + "attn_output.bias", (width,)
        yield b + "attn_sinks.weight", (shape.heads,)


def latent(shape: ModelShape, b: str) -> Iterator[Tensor]:
    width, heads, rank = shape.embedding_width, shape.heads, shape.mla_width - ROTATED
    if shape.query_rank:
        yield b + "attn_q_a_norm.weight", (shape.query_rank,)
        yield b + "attn_q_a.weight", (width, shape.query_rank)
        yield b + "attn_q_b.weight", (shape.query_rank, heads * shape.key_length)
    else:
        yield b + "attn_q.weight", (width, heads * shape.key_length)
    yield b + "attn_kv_a_norm.weight", (rank,)
    yield b + "attn_kv_a_mqa.weight", (width, shape.mla_width)
    yield b + "attn_k_b.weight", (shape.key_length - ROTATED, rank, heads)
    yield b + "attn_v_b.weight", (rank, shape.value_length, heads)
    yield b + "attn_output.weight", (heads * shape.value_length, width)


def recurrent(shape: ModelShape, b: str) -> Iterator[Tensor]:
    width, inner, heads = shape.embedding_width, shape.recurrent_inner, shape.recurrent_inner // 128
    mixed = 2 * shape.recurrent_keys + inner
    yield b + "attn_qkv.weight", (width, mixed)
    yield b + "attn_gate.weight", (width, inner)
    yield b + "ssm_conv1d.weight", (4, mixed)
    yield b + "ssm_dt.bias", (heads,)
    yield b + "ssm_a", (heads,)
    if shape.architecture == "qwen3next":
        yield b + "ssm_ba.weight", (width, 2 * heads)
    else:
        yield b + "ssm_beta.weight", (width, heads)
        yield b + "ssm_alpha.weight", (width, heads)
    yield b + "ssm_norm.weight", (128,)
    yield b + "ssm_out.weight", (inner, width)


def feed_forward(shape: ModelShape, layer: int, b: str) -> Iterator[Tensor]:
    width = shape.embedding_width
    has_experts = shape.experts and layer >= shape.layers - shape.expert_layers
    if not has_experts or shape.architecture == "gemma4":
        fused = shape.architecture in ("phi3", "glm4")
        if not fused and shape.architecture != "apertus":
            yield b + "ffn_gate.weight", (width, shape.feed_forward)
        yield b + "ffn_up.weight", (width, shape.feed_forward * (2 if fused else 1))
        yield b + "ffn_down.weight", (shape.feed_forward, width)
    if not has_experts:
        return
    wide, count, shared = shape.expert_feed_forward, shape.experts, shape.shared_feed_forward
    yield b + "ffn_gate_inp.weight", (width, count)
    if shape.architecture in ("glm4moe", "minimax-m2"):
        yield b + "exp_probs_b.bias", (count,)
    yield b + "ffn_gate_exps.weight", (width, wide, count)
    yield b + "ffn_up_exps.weight", (width, wide, count)
    yield b + "ffn_down_exps.weight", (wide, width, count)
    if shape.architecture == "gpt-oss":
        yield b + "ffn_gate_inp.bias", (count,)
        yield b + "ffn_gate_exps.bias", (wide, count)
        yield b + "ffn_up_exps.bias", (wide, count)
        yield b + "ffn_down_exps.bias", (width, count)
    if shared:
        if shape.recurrent_layers:
            yield b + "ffn_gate_inp_shexp.weight", (width,)
        yield b + "ffn_gate_shexp.weight", (width, shared)
        yield b + "ffn_up_shexp.weight", (width, shared)
        yield b + "ffn_down_shexp.weight", (shared, width)
