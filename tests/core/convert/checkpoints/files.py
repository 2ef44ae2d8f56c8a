"""Tensors and the files of a checkpoint."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Config = dict[str, Any]
Files = dict[str, str | bytes | Config]
Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, "Stored"]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Stored:
    """A tensor as it lies in a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def as_bfloat16(values: Floats) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Round to bfloat16, ties to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def stored(values: np.ndarray[Any, Any], dtype: str) -> Stored:
    """Store values as one of safetensors' types; integers and raw bytes are taken as they are."""
    kinds = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I8": "i1", "U8": "u1", "F8_E4M3": "u1"}
    packed = as_bfloat16(values) if dtype == "BF16" else values.astype(kinds[dtype])
    return Stored(dtype, tuple(values.shape), np.ascontiguousarray(packed).tobytes())


def write_safetensors(path: Path, tensors: Mapping[str, Stored]) -> None:
    """Write one safetensors file, tensors in the order given."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(
        struct.pack("<Q", len(text)) + text + b"".join(tensor.data for tensor in tensors.values())
    )


def write_tensors(folder: Path, tensors: Tensors, shards: int) -> None:
    """Write one file, or several with an index; neighbours go to different files."""
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return
    names = list(tensors)
    places: dict[str, str] = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        places |= dict.fromkeys(part, file)
        write_safetensors(folder / file, part)
    size = sum(len(tensor.data) for tensor in tensors.values())
    write_json(
        folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": places}
    )


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces, as Hugging Face's libraries do."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def write_files(folder: Path, files: Files) -> None:
    """Write texts, bytes and JSON."""
    for name, content in files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        elif isinstance(content, str):
            (folder / name).write_text(content, encoding="utf-8", newline="\n")
        else:
            write_json(folder / name, content)
