"""Writes LoRA adapters for tests: random ones for a model that is there, and ones that are wrong on purpose."""

from pathlib import Path

import numpy as np

from localllm.gguf import read_header

WEIGHTS = ("attn_q", "attn_v", "attn_output", "ffn_down")


def write_adapter(path: Path, base: Path, **how) -> Path:
    """Write an adapter for a model: in its first `layers` layers, or for the `weights` that are named.

    `scale` is how large B is; A has entries around 1. `keys` replaces or, with None, leaves out keys.
    """
    header = read_header(base)
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    names = how.get("weights") or [
        f"blk.{layer}.{name}.weight" for layer in range(how.get("layers", 4)) for name in WEIGHTS
    ]
    pairs = make_pairs({name: shapes[name] for name in names}, how.get("rank", 4), how.get("scale", 0.02))
    return write_pairs(path, pairs, header.architecture, how.get("alpha", 8.0), how.get("keys", {}))


def make_pairs(shapes, rank=4, scale=0.02, seed=0):
    """Return (A, B) for weights of these shapes, ggml's order; A is rank × in, B is out × rank."""
    random = np.random.default_rng(seed)
    return {
        name: (
            random.standard_normal((rank, shape[0])).astype(np.float32),
            (scale * random.standard_normal((shape[1], rank))).astype(np.float32),
        )
        for name, shape in shapes.items()
    }


def write_pairs(path: Path, pairs, architecture="llama", alpha=8.0, keys=None) -> Path:
    """Write an adapter of these pairs."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, architecture)
    wanted = {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": float(alpha)} | (
        keys or {}
    )
    for name, value in wanted.items():
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif value is not None:
            writer.add_array(name, value)
    for name, (a, b) in pairs.items():
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
