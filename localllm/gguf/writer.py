"""Write a GGUF file: header, keys and the table of tensors at once, then the data wherever they are ready.

Layout (ggml/docs/gguf.md): magic, version, number of tensors, number of keys, keys, tensors, padding, data.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from localllm.gguf.types import TENSOR_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import FileIO

    from localllm.gguf.keys import Key, Keys, KeyType, Plain

ALIGNMENT = 32  # bytes; every tensor begins at a multiple
_VERSION = 3
_STRING, _ARRAY = 8, 9
_LENGTH = struct.Struct("<Q")
_NUMBERS: dict[KeyType, tuple[int, str]] = {
    "u8": (0, "B"),
    "i8": (1, "b"),
    "u16": (2, "H"),
    "i16": (3, "h"),
    "u32": (4, "I"),
    "i32": (5, "i"),
    "f32": (6, "f"),
    "bool": (7, "?"),
    "u64": (10, "Q"),
    "i64": (11, "q"),
    "f64": (12, "d"),
}
_TYPE_NUMBERS = {kind.name: number for number, kind in TENSOR_TYPES.items()}


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor of a file to be written: `shape` with the outermost dimension first, `size` in bytes."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    size: int


def header_bytes(keys: Keys, tensors: Sequence[TensorPlace]) -> bytes:
    """Return everything before the data, padded so that the data may follow."""
    return header_of_pairs([pair_bytes(key) for key in keys], tensors)


def pair_bytes(key: Key) -> bytes:
    """Return a key as it lies in a file."""
    return _text(key.name) + _value(key)


def header_of_pairs(pairs: Sequence[bytes], tensors: Sequence[TensorPlace]) -> bytes:
    """Return the same for keys that are bytes already."""
    out = bytearray(struct.pack("<4sIQQ", b"GGUF", _VERSION, len(tensors), len(pairs)))
    for pair in pairs:
        out += pair
    offset = 0
    for tensor in tensors:
        out += _text(tensor.name)
        out += struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        out += struct.pack("<IQ", _TYPE_NUMBERS[tensor.type_name], offset)
        offset += padded(tensor.size)
    return bytes(out) + bytes(padded(len(out)) - len(out))


def offsets(tensors: Sequence[TensorPlace]) -> list[int]:
    """Return where each tensor begins, bytes after the header; the last number is where the data end."""
    places = [0]
    for tensor in tensors:
        places.append(places[-1] + padded(tensor.size))
    return places


def padded(size: int) -> int:
    """Return the next multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def write_all(file: FileIO, data: memoryview) -> None:
    """Write all of `data` into an unbuffered file, where it stands.

    Raises:
        OSError: The disk is full, or another fault of it.
    """
    while data:
        data = data[file.write(data) :]


def _value(key: Key) -> bytes:
    number = _STRING if key.type == "string" else _NUMBERS[key.type][0]
    if not key.is_array:
        return struct.pack("<I", number) + _plain(key.type, cast("Plain", key.value))
    values = cast("Sequence[Plain]", key.value)
    head = struct.pack("<IIQ", _ARRAY, number, len(values))
    if key.type == "string":
        return _strings(head, cast("Sequence[str | bytes]", values))
    return head + struct.pack(f"<{len(values)}{_NUMBERS[key.type][1]}", *values)


def _strings(head: bytes, values: Sequence[str | bytes]) -> bytes:
    """Return strings one after the other, behind `head`; a vocabulary has some hundred thousand."""
    out, length_of = bytearray(head), _LENGTH.pack
    for value in values:
        raw = value.encode() if isinstance(value, str) else value
        out += length_of(len(raw))
        out += raw
    return bytes(out)


def _plain(type_: KeyType, value: Plain) -> bytes:
    if type_ == "string":
        return _text(cast("str | bytes", value))
    return struct.pack(f"<{_NUMBERS[type_][1]}", value)


def _text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return _LENGTH.pack(len(raw)) + raw
