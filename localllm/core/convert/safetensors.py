"""One shard of a checkpoint: its header, read within bounds, and its weights, read by ranges of bytes.

Source of the format: safetensors 0.4, "Format". A header is trusted in nothing: lengths, types, shapes and
offsets are checked before a byte of data is read, and the data must be covered once, without gaps.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from localllm.errors import CheckpointRefused
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localllm.core.convert.tensors import Array

MAX_HEADER = 32 << 20  # bytes; the format allows 100 MB, the largest published one has 14
_MAX_DIMENSIONS = 8
_MAX_EMPTY = 1 << 24  # of any dimension of a weight without elements, whose shape no file's size bounds
_MAX_NAME = 1024
_TYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F8_E4M3": np.dtype("u1"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
}
_OTHER_TYPES = ("F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E8M0", "C64")


@dataclass(slots=True)
class Shard:
    """A file of weights, opened when something is read from it.

    Attributes:
        size: Bytes of the whole file.
        ready: Waits until the file is there, if it is still on its way.
    """

    path: Path
    size: int
    ready: Callable[[], None] | None = None
    _handle: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read_into(self, target: memoryview, offset: int) -> None:
        """Fill `target` with the bytes from `offset` on.

        Raises:
            CheckpointRefused: The file ends before, or is gone.
        """
        try:
            handle = self._open()
            done = 0
            while done < len(target):
                got = _read_at(handle, self._lock, target[done:], offset + done)
                if not got:
                    raise CheckpointRefused(
                        text("“{name}” became shorter while it was read.", name=self.path.name)
                    )
                done += got
        except OSError as error:
            raise CheckpointRefused(
                text("“{name}” cannot be read.", name=self.path.name), detail=str(error)
            ) from error

    def close(self) -> None:
        """Close the file; it opens again if it is read again."""
        with self._lock:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1

    def _open(self) -> int:
        with self._lock:
            if self._handle < 0:
                if self.ready:
                    self.ready()
                self._handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            return self._handle


if sys.platform == "win32":

    def _read_at(handle: int, lock: threading.Lock, target: memoryview, offset: int) -> int:
        with lock:
            os.lseek(handle, offset, os.SEEK_SET)
            piece = os.read(handle, len(target))
        target[: len(piece)] = piece
        return len(piece)

else:

    def _read_at(handle: int, lock: threading.Lock, target: memoryview, offset: int) -> int:
        return os.preadv(handle, [target], offset)


@dataclass(frozen=True, slots=True)
class Stored:
    """A weight as it lies in a shard; see `Tensor`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    shard: Shard
    offset: int

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * _TYPES[self.dtype].itemsize

    def read(self, first: int = 0, last: int | None = None) -> Array:
        """Return rows; see `Tensor.read`."""
        rows = self.shape[0] if self.shape else 1
        first, last, _ = slice(first, last).indices(rows)
        values = np.empty((max(last - first, 0), *self.shape[1:]), _TYPES[self.dtype])
        row = prod(self.shape[1:]) * values.itemsize
        if values.nbytes:
            self.shard.read_into(values.reshape(-1).view(np.uint8).data, self.offset + first * row)
        return values if self.shape else values.reshape(())

    def part(self, number: int) -> Stored:
        """Return one of the weights that this is a stack of."""
        step = self.size // self.shape[0]
        return Stored(self.name, self.shape[1:], self.dtype, self.shard, self.offset + number * step)


def read_shard(path: Path, shard: Shard, header: bytes | None = None) -> list[Stored]:
    """Return what a shard holds, sorted by name.

    `header` has its first bytes, if the file itself is still on its way.

    Raises:
        CheckpointRefused: It is cut off, or damaged, or means to mislead.
    """
    try:
        raw = _read_header(path, shard.size) if header is None else _cut_header(header, path.name, shard.size)
    except OSError as error:
        raise CheckpointRefused(
            text("“{name}” cannot be read.", name=path.name), detail=str(error)
        ) from error
    entries = _parse(raw, path.name)
    start = 8 + len(raw)
    found = [_stored(name, entry, shard, start) for name, entry in entries.items() if name != "__metadata__"]
    _check_coverage(found, start, shard.size, path.name)
    return sorted(found, key=lambda tensor: tensor.name)


def header_length(first_bytes: bytes, name: str, size: int) -> int:
    """Return how many bytes the header has, from the first eight of the file.

    Raises:
        CheckpointRefused: It is longer than the file, or than a header may be.
    """
    if len(first_bytes) < 8:
        raise _refused(name, text("it ends before its header begins"))
    (length,) = struct.unpack("<Q", first_bytes[:8])
    if length > MAX_HEADER:
        raise _refused(name, text("its header would be {size} bytes long", size=length))
    if 8 + length > size:
        raise _refused(name, text("it is cut off within its header"))
    return length


def _read_header(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        length = header_length(file.read(8), path.name, size)
        return file.read(length)


def _cut_header(content: bytes, name: str, size: int) -> bytes:
    length = header_length(content, name, size)
    return content[8 : 8 + length]


def _parse(raw: bytes, name: str) -> dict[str, dict[str, Any]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _refused(name, text("its header says something twice"))
        return found

    try:
        entries: object = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _refused(name, text("its header is no JSON")) from error
    if not isinstance(entries, dict) or not all(
        isinstance(entry, dict) for entry in cast("dict[str, object]", entries).values()
    ):
        raise _refused(name, text("its header is not what it should be"))
    return cast("dict[str, dict[str, Any]]", entries)


def _stored(name: str, entry: dict[str, Any], shard: Shard, start: int) -> Stored:
    file = shard.path.name
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise _refused(file, text("it has a tensor with an impossible name"))
    if dtype in _OTHER_TYPES:
        raise CheckpointRefused(
            text(
                "The weights “{name}” are of type {type}, which is not supported yet.", name=name, type=dtype
            )
        )
    if dtype not in _TYPES:
        raise _refused(file, text("“{name}” has no known type", name=name))
    shape, offsets = _whole_numbers(shape), _whole_numbers(offsets)
    empty = shape is not None and 0 in shape
    if shape is None or len(shape) > _MAX_DIMENSIONS or (empty and max(shape) > _MAX_EMPTY):
        raise _refused(file, text("“{name}” has no shape that could be", name=name))
    if offsets is None or len(offsets) != 2:
        raise _refused(file, text("“{name}” has no place in it", name=name))
    first, last = offsets
    if first > last or start + last > shard.size:
        raise _refused(file, text("“{name}” would lie beyond its end; it is cut off", name=name))
    stored = Stored(name, tuple(shape), cast("str", dtype), shard, start + first)
    if stored.size != last - first:
        raise _refused(file, text("“{name}” has another size than its shape says", name=name))
    return stored


def _whole_numbers(value: object) -> list[int] | None:
    if not isinstance(value, list):
        return None
    numbers = cast("list[int]", value)
    return numbers if all(type(item) is int and 0 <= item < 2**62 for item in numbers) else None


def _check_coverage(found: list[Stored], start: int, size: int, name: str) -> None:
    position = start
    for tensor in sorted(found, key=lambda tensor: (tensor.offset, tensor.size)):
        if tensor.offset < position:
            raise _refused(name, text("“{name}” lies over other weights", name=tensor.name))
        if tensor.offset > position:
            raise _refused(name, text("it has bytes that belong to nothing"))
        position += tensor.size
    if position != size:
        raise _refused(name, text("it has bytes that belong to nothing"))


def _refused(name: str, reason: Text) -> CheckpointRefused:
    return CheckpointRefused(
        text("“{file}” is damaged: {reason}.", file=name, reason=reason),
        hint=text("Download it again; if it stays so, tell its publisher."),
    )
