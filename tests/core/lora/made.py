"""Small checkpoints with their adapters, converted: what the tests of this package begin with."""

import json
from pathlib import Path

import numpy as np

from localllm.core.convert.checkpoint import open_checkpoint
from localllm.core.convert.conversion import make_ready, write_file
from localllm.core.convert.plan import make_plan
from localllm.core.lora import conversion
from localllm.core.lora.folder import open_adapter
from localllm.gguf import read_header
from localllm.progress import Progress
from tests.core.convert import checkpoints
from tests.core.convert.checkpoints.files import stored, write_files, write_safetensors
from tests.core.convert.checkpoints.files import write_tensors as write_checkpoint

FOLDERS = {
    "llama": "Tiny-Llama-Bpe-Lora",
    "llama-spm": "Tiny-Llama-Lora",
    "phi3": "Tiny-Phi-Lora",
    "qwen3": "Tiny-Qwen3-Lora",
    "qwen35": "Tiny-Qwen3.5-Lora",
    "gemma3": "Tiny-Gemma-3-Lora",
}
HOW = {"llama-spm": {"rank": 4, "alpha": 32}}


def convert(folder: Path, target: Path, kind="f32") -> Path:
    """Convert a whole checkpoint."""
    write_file(make_ready(make_plan(open_checkpoint(folder), kind)), target, Progress())
    return target


def convert_adapter(folder: Path, base: Path, target: Path, kind="f32") -> Path:
    """Convert an adapter."""
    write_file(conversion.make_ready(open_adapter(folder), base, kind), target, Progress())
    return target


def usual_adapter(name: str, parent: Path) -> Path:
    """Write the adapter whose digests golden.json has."""
    modules = checkpoints.adapter_modules(checkpoints.CHECKPOINTS[name].shapes)
    own = {key: shape for key, shape in modules.items() if not key.startswith("mtp.")}
    return checkpoints.write_adapter(parent / FOLDERS[name], own, **HOW.get(name, {}))


def write_peft(folder: Path, pairs, names=("lora_A.weight", "lora_B.weight"), **settings) -> Path:
    """Write an adapter of these (A, B) by module: `model.layers.0.self_attn.q_proj`."""
    rank = len(next(iter(pairs.values()))[0])
    plain = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "bias": "none"}
    tensors = {
        f"base_model.model.{module}.{name}": stored(values, "F32")
        for module, pair in pairs.items()
        for name, values in zip(names, pair, strict=True)
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, {"adapter_config.json": plain | settings})
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


def random_pairs(modules, rank=8, seed=0):
    """Return (A, B) by module for modules given with (rows, columns)."""
    random = np.random.default_rng(seed)
    return {
        module: (
            random.standard_normal((rank, columns)).astype(np.float32),
            random.standard_normal((rows, rank)).astype(np.float32),
        )
        for module, (rows, columns) in modules.items()
    }


def twin_with(name: str, deltas, parent: Path) -> Path:
    """Write a checkpoint whose weights have these added to them, in float32."""
    made, tensors = checkpoints.CHECKPOINTS[name], checkpoints.tensors_of(name)
    folder = parent / made.folder
    folder.mkdir(parents=True)
    write_files(folder, {"config.json": made.config} | made.tokenizer() | made.files)
    changed = {key: stored(values_of(tensors[key]) + delta, "F32") for key, delta in deltas.items()}
    write_checkpoint(folder, tensors | changed, made.shards)
    return folder


def values_of(tensor):
    """Return a stored tensor as float32."""
    if tensor.dtype == "BF16":
        bits = np.frombuffer(tensor.data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(tensor.shape)
    kinds = {"F32": "<f4", "F16": "<f2"}
    return np.frombuffer(tensor.data, kinds[tensor.dtype]).astype(np.float32).reshape(tensor.shape)


def read_tensor(path: Path, name: str):
    """Return a float32 or float16 tensor of a GGUF file as float32."""
    header = read_header(path)
    info = next(tensor for tensor in header.tensors if tensor.name == name)
    kinds = {"F32": np.float32, "F16": np.float16}
    values = np.fromfile(
        path, kinds[info.type_name], info.size // np.dtype(kinds[info.type_name]).itemsize,
        offset=header.data_offset + info.offset,
    )  # fmt: skip
    return values.reshape(info.shape[::-1]).astype(np.float32)


def golden():
    """Return the digests of what llama.cpp wrote."""
    return json.loads(Path(__file__).with_name("golden.json").read_text())
