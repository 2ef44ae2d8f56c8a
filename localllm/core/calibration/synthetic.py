"""Writes GGUF files of any size with random weights and no vocabulary, for measuring speed.

The speed of llama.cpp does not depend on the values of weights, as long as they are not all alike: a
graphics card that multiplies zeros draws less power and clocks higher.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.errors import LocalLLMError
from localllm.gguf.types import TENSOR_TYPES
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.core.shape import ModelShape

_ALIGNMENT = 32
_UINT32, _FLOAT32, _STRING = 4, 6, 8
_NUMBERS = {kind.name: number for number, kind in TENSOR_TYPES.items()}
# where a block keeps its scales, float16; they are made small so that random bits give finite weights
_SCALES = {
    "Q8_0": (0,), "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q2_K": (80, 82),
    "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_XS": (0,), "IQ4_NL": (0,),
}  # fmt: skip
_SCALE = struct.pack("<e", 1e-3)
_TILE = 2**22  # bytes of random blocks, written again and again
_SPARE_DISK = 2**28
_PREFIX, _LEFT_OVER_SECONDS = "measuring-", 3600
_MIXED = {"Q4_K_M": ("Q4_K", "Q6_K"), "Q5_K_M": ("Q5_K", "Q6_K")}
_MORE_BITS = ("attn_v", "ffn_down", "ffn_down_exps")


@dataclass(frozen=True)
class SyntheticModel:
    """A file to be written: llama's graph at these dimensions, in one file type.

    `quant` is a tensor type ("Q8_0") or one of the mixtures Q4_K_M and Q5_K_M.
    """

    shape: ModelShape
    quant: str

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in _tensors(self))


@dataclass(frozen=True)
class _Tensor:
    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        packing = TENSOR_TYPES[_NUMBERS[self.kind]]
        return math.prod(self.shape) // packing.block_weights * packing.block_bytes


def write_synthetic(model: SyntheticModel, folder: Path) -> Path:
    """Write the file, whole or not at all; its name is that of no other file.

    Raises:
        LocalLLMError: The disk has too little room, or cannot be written.
    """
    tensors = list(_tensors(model))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_room(folder, sum(tensor.size for tensor in tensors))
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=".gguf", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_header(model, tensors))
                tiles = {kind: _tile(kind) for kind in {tensor.kind for tensor in tensors}}
                for tensor in tensors:
                    for piece in _data(tensor, tiles[tensor.kind]):
                        file.write(piece)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise LocalLLMError(
            text("The file for the measurement could not be written: {reason}.", reason=reason),
            hint=text("Free some space, then try again."),
        ) from error
    return Path(name)


def remove_left_over(folder: Path) -> None:
    """Remove the files of measurements whose program was ended more than an hour ago."""
    for path in folder.glob(f"{_PREFIX}*.gguf"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _LEFT_OVER_SECONDS:
                path.unlink()


def _require_room(folder: Path, size: int) -> None:
    free, need = shutil.disk_usage(folder).free, size + _SPARE_DISK
    if free < need:
        raise LocalLLMError(
            text(
                "The measurement needs {need} of disk for a moment, and {free} are free.",
                need=Bytes(need),
                free=Bytes(free),
            ),
            hint=text("Free some space, then try again."),
        )


def _header(model: SyntheticModel, tensors: list[_Tensor]) -> bytes:
    pairs = _metadata(model.shape)
    out = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(pairs))]
    out += [_pair(key, value) for key, value in pairs.items()]
    offset = 0
    for tensor in tensors:
        dimensions = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        out.append(_text(tensor.name) + dimensions + struct.pack("<IQ", _NUMBERS[tensor.kind], offset))
        offset += _padded(tensor.size)
    header = b"".join(out)
    return header + b"\0" * (_padded(len(header)) - len(header))


def _metadata(shape: ModelShape) -> dict[str, int | float | str]:
    numbers: dict[str, int | float] = {
        "block_count": shape.layers,
        "context_length": shape.trained_context,
        "embedding_length": shape.embedding_width,
        "feed_forward_length": shape.feed_forward or shape.expert_feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.key_length,
        "attention.value_length": shape.value_length,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": shape.key_length,
        "vocab_size": shape.vocabulary,
    }
    if shape.experts:
        numbers |= {"expert_count": shape.experts, "expert_used_count": shape.experts_used}
    named: dict[str, int | float | str] = {f"llama.{key}": value for key, value in numbers.items()}
    return {"general.architecture": "llama", "tokenizer.ggml.model": "none"} | named


def _tensors(model: SyntheticModel) -> Iterator[_Tensor]:
    shape = model.shape
    width, wide = shape.embedding_width, shape.feed_forward
    usual, more = _MIXED.get(model.quant, (model.quant, model.quant))
    yield _Tensor("token_embd.weight", more if shape.tied_embeddings else usual, (width, shape.vocabulary))
    yield _Tensor("output_norm.weight", "F32", (width,))
    if not shape.tied_embeddings:
        yield _Tensor("output.weight", more, (width, shape.vocabulary))
    matrices = {
        "attn_q": (width, shape.heads * shape.key_length),
        "attn_k": (width, shape.kv_heads * shape.key_length),
        "attn_v": (width, shape.kv_heads * shape.value_length),
        "attn_output": (shape.heads * shape.value_length, width),
    }
    if shape.experts:
        wide, count = shape.expert_feed_forward, shape.experts
        matrices |= {"ffn_gate_exps": (width, wide, count), "ffn_up_exps": (width, wide, count)}
        matrices |= {"ffn_down_exps": (wide, width, count)}
    else:
        matrices |= {"ffn_gate": (width, wide), "ffn_up": (width, wide), "ffn_down": (wide, width)}
    for layer in range(shape.layers):
        for norm in ("attn_norm", "ffn_norm"):
            yield _Tensor(f"blk.{layer}.{norm}.weight", "F32", (width,))
        if shape.experts:
            yield _Tensor(f"blk.{layer}.ffn_gate_inp.weight", "F32", (width, shape.experts))
        for name, dimensions in matrices.items():
            kind = more if name in _MORE_BITS and layer % 2 == 0 else usual
            yield _Tensor(f"blk.{layer}.{name}.weight", kind, dimensions)


def _data(tensor: _Tensor, tile: memoryview) -> Iterator[bytes | memoryview]:
    """Yield the tensor's bytes with their padding."""
    left = tensor.size
    while left > 0:
        yield tile[:left]
        left -= len(tile)
    yield b"\0" * (_padded(tensor.size) - tensor.size)


def _tile(kind: str) -> memoryview:
    if kind == "F32":
        return memoryview(struct.pack("<f", 1.0) * (_TILE // 4))
    block = TENSOR_TYPES[_NUMBERS[kind]].block_bytes
    count = _TILE // block
    if kind in ("F16", "BF16"):
        return memoryview(struct.pack("<e", 0.01) * (_TILE // 2))
    cells = bytearray(random.Random(1).randbytes(count * block))  # noqa: S311
    for position in _SCALES.get(kind, ()):
        for i in range(2):
            cells[position + i :: block] = _SCALE[i : i + 1] * count
    return memoryview(cells)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _pair(key: str, value: float | str) -> bytes:
    if isinstance(value, str):
        return _text(key) + struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, int):
        return _text(key) + struct.pack("<II", _UINT32, value)
    return _text(key) + struct.pack("<If", _FLOAT32, value)
