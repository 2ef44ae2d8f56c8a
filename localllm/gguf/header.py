"""Reads the header of a GGUF file within fixed limits, whatever the file claims.

Layout (ggml/docs/gguf.md): magic, version, tensor count, pair count, key-value pairs, tensor infos,
padding, tensor data. The limits are those that llama.cpp needs to stay out of its assertions and that
no real model comes near.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from localllm.errors import BadModelFile, ModelNotFound
from localllm.gguf.types import FILE_TYPES, TENSOR_TYPES
from localllm.texts import Text, text

if TYPE_CHECKING:
    from pathlib import Path

Scalar = int | float | bool | str
Value = Scalar | list[int | float]

MAX_PAIRS = 65_535
MAX_TENSORS = 1_000_000
MAX_KEY = 65_536  # bytes
MAX_STRING = 64 << 20  # bytes
MAX_ARRAY = 16 << 20  # elements
MAX_ALIGNMENT = 65_536
MAX_HEADER = 256 << 20  # bytes of all entries together
MAX_KEPT_STRING = 1 << 20  # bytes; longer texts of the header are passed over
KEPT_ARRAY = 4_096  # longer arrays are skipped; `GgufHeader.strings` and `.numbers` read them on demand
_CHUNK = 1 << 20
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: `shape` in ggml's order (fastest first), `offset` and `size` in bytes."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int
    size: int


@dataclass(frozen=True)
class ArrayInfo:
    """Where an array lies in the file; `kind` is GGUF's number of the element type."""

    kind: int
    count: int
    offset: int


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says of itself.

    Attributes:
        metadata: Scalars and short numeric arrays.
        arrays: Every array, to be read on demand.
        data_offset: Where the tensor data begins, bytes.
    """

    path: Path
    file_size: int
    version: int
    alignment: int
    metadata: dict[str, Value]
    arrays: dict[str, ArrayInfo]
    tensors: tuple[TensorInfo, ...]
    data_offset: int

    @property
    def architecture(self) -> str:
        """`general.architecture`, or "" if it is missing."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def quant(self) -> str:
        """The file type ("Q4_K_M"), or the type of most weights where the file does not say."""
        number = self.metadata.get("general.file_type")
        if isinstance(number, int) and number in FILE_TYPES:
            return FILE_TYPES[number]
        sizes: dict[str, int] = {}
        for tensor in self.tensors:
            sizes[tensor.type_name] = sizes.get(tensor.type_name, 0) + tensor.size
        return max(sizes, key=sizes.__getitem__) if sizes else ""

    def of_architecture(self, key: str) -> Value | None:
        """Return the value of `<architecture>.<key>`."""
        return self.metadata.get(f"{self.architecture}.{key}")

    def strings(self, key: str) -> list[bytes]:
        """Read an array of strings; [] if there is none of that name."""
        array = self.arrays.get(key)
        if array is None or array.kind != _STRING:
            return []
        with self.path.open("rb") as file:
            window = _Window(file, self.file_size)
            window.position = array.offset
            found: list[bytes] = []
            _walk_strings(window, array.count, found)
            return found

    def numbers(self, key: str) -> list[int | float]:
        """Read an array of numbers; [] if there is none of that name."""
        array = self.arrays.get(key)
        if array is None or array.kind not in _SCALARS:
            return []
        with self.path.open("rb") as file:
            window = _Window(file, self.file_size)
            window.position = array.offset
            return _numbers(window, array)


def read_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file.

    Raises:
        ModelNotFound: There is no such file, or it cannot be read.
        BadModelFile: It is not a GGUF file or breaks a limit; the sentence names value and limit.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            return _read(path, _Window(file, size), size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFound(
            text("There is no file “{path}”.", path=str(path)),
            hint=text("Check the path, or choose another model."),
        ) from error
    except OSError as error:
        raise ModelNotFound(
            text("“{path}” cannot be read: {reason}.", path=str(path), reason=error.strerror or str(error)),
            hint=text("Check the path and its permissions."),
        ) from error


def refuse(path: Path, reason: Text) -> BadModelFile:
    """Return the error for a file that is not a usable model."""
    return BadModelFile(
        text("“{name}” is not a usable model: {reason}.", name=path.name, reason=reason),
        hint=text("Download it again, or choose another file."),
        safe=text("The file was not opened by the engine; nothing was changed."),
        detail=str(path),
    )


class _BrokenError(Exception):
    """Carries the reason out of the parser."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass
class _Window:
    """A bounded view that moves through the file; never holds more than it was asked for plus a chunk."""

    file: BinaryIO
    size: int
    position: int = 0
    start: int = 0
    data: bytes = field(default=b"")

    def require(self, count: int) -> int:
        """Make `count` bytes at the position available; return where they begin in `data`."""
        if count > self.size - self.position:
            raise _BrokenError(
                text(
                    "the header claims {count} more bytes at byte {position}, but the file ends after {size}",
                    count=count,
                    position=self.position,
                    size=self.size,
                )
            )
        begin = self.position - self.start
        if begin < 0 or begin + count > len(self.data):
            self.file.seek(self.position)
            self.start, self.data = self.position, self.file.read(max(count, _CHUNK))
            begin = 0
            if len(self.data) < count:
                raise _BrokenError(text("the file became shorter while it was read"))
        return begin

    def unpack(self, layout: str) -> tuple[int, ...]:
        packed = struct.calcsize("<" + layout)
        begin = self.require(packed)
        self.position += packed
        return struct.unpack_from("<" + layout, self.data, begin)

    def take(self, count: int) -> bytes:
        begin = self.require(count)
        self.position += count
        return self.data[begin : begin + count]

    def string(self, limit: int = MAX_STRING, kept: int = MAX_STRING) -> bytes:
        (length,) = self.unpack("Q")
        if length > min(limit, self.size - self.position):
            raise _BrokenError(
                text(
                    "a text of {length} bytes at byte {position} is longer than the limit of {limit}",
                    length=length,
                    position=self.position,
                    limit=min(limit, self.size - self.position),
                )
            )
        if length > kept:
            self.position += length
            return b""
        return self.take(length)


def _read(path: Path, window: _Window, size: int) -> GgufHeader:
    try:
        version, tensor_count, pair_count = _read_preamble(window)
        metadata, arrays = _read_pairs(window, pair_count)
        alignment = _alignment(metadata)
        tensors = _read_tensors(window, tensor_count)
        data_offset = -(-window.position // alignment) * alignment
        _check_bounds(tensors, alignment, data_offset, size)
    except _BrokenError as error:
        raise refuse(path, error.reason) from error
    return GgufHeader(path, size, version, alignment, metadata, arrays, tensors, data_offset)


def _read_preamble(window: _Window) -> tuple[int, int, int]:
    if window.size < 24 or window.take(4) != b"GGUF":
        raise _BrokenError(text("it does not begin as a GGUF file does"))
    (version,) = window.unpack("I")
    if version and version & 0xFFFF == 0:
        raise _BrokenError(text("it was written for big-endian computers"))
    if version not in (2, 3):
        raise _BrokenError(
            text("it has GGUF version {version}, and only 2 and 3 can be read", version=version)
        )
    tensor_count, pair_count = window.unpack("QQ")
    for count, limit, what in (
        (tensor_count, MAX_TENSORS, text("tensors")),
        (pair_count, MAX_PAIRS, text("header entries")),
    ):
        if count > min(limit, window.size // 12):
            raise _BrokenError(
                text(
                    "it claims {count} {what}, more than {limit}",
                    count=count,
                    what=what,
                    limit=min(limit, window.size // 12),
                )
            )
    return version, tensor_count, pair_count


def _read_pairs(window: _Window, count: int) -> tuple[dict[str, Value], dict[str, ArrayInfo]]:
    metadata: dict[str, Value] = {}
    arrays: dict[str, ArrayInfo] = {}
    for _ in range(count):
        if window.position > MAX_HEADER:
            raise _BrokenError(text("its header is longer than {limit} bytes", limit=MAX_HEADER))
        key = window.string(MAX_KEY).decode("utf-8", "replace")
        if not key or key in metadata or key in arrays:
            raise _BrokenError(text("the header entry “{key}” is empty or stands twice", key=key[:100]))
        (kind,) = window.unpack("I")
        if kind == _ARRAY:
            arrays[key] = _skip_array(window, key)
            if arrays[key].kind in _SCALARS and arrays[key].count <= KEPT_ARRAY:
                after, window.position = window.position, arrays[key].offset
                metadata[key] = _numbers(window, arrays[key])
                window.position = after
        elif kind == _STRING:
            metadata[key] = window.string(kept=MAX_KEPT_STRING).decode("utf-8", "replace")
        elif kind in _SCALARS:
            metadata[key] = window.unpack(_SCALARS[kind])[0]
        else:
            raise _BrokenError(
                text("the header entry “{key}” has the unknown type {kind}", key=key[:100], kind=kind)
            )
    return metadata, arrays


def _skip_array(window: _Window, key: str) -> ArrayInfo:
    kind, count = window.unpack("IQ")
    if kind != _STRING and kind not in _SCALARS:
        raise _BrokenError(
            text("the list “{key}” has elements of the unknown type {kind}", key=key[:100], kind=kind)
        )
    if count > MAX_ARRAY:
        raise _BrokenError(
            text(
                "the list “{key}” claims {count} entries, more than {limit}",
                key=key[:100],
                count=count,
                limit=MAX_ARRAY,
            )
        )
    offset = window.position
    if kind == _STRING:
        _walk_strings(window, count)
    else:
        length = count * struct.calcsize(_SCALARS[kind])
        if length > window.size - window.position:
            raise _BrokenError(text("the list “{key}” is longer than the rest of the file", key=key[:100]))
        window.position += length
    return ArrayInfo(kind, count, offset)


def _walk_strings(window: _Window, count: int, kept: list[bytes] | None = None) -> None:
    """Pass over an array of strings, keeping them if a list is given; written for 150,000 of them."""
    unpack, read = struct.Struct("<Q").unpack_from, 0
    while read < count:
        position = window.require(8)
        data, end, rest = window.data, len(window.data), window.size - window.start
        while read < count and position + 8 <= end:
            (length,) = unpack(data, position)
            stop = position + 8 + length
            if length > MAX_STRING or stop > rest or (stop > end and kept is not None):
                break
            if kept is not None:
                kept.append(data[position + 8 : stop])
            position = stop
            read += 1
        window.position = window.start + position
        if read < count and position + 8 <= end:  # too long for the window, or for the file
            item = window.string()
            read += 1
            if kept is not None:
                kept.append(item)


def _numbers(window: _Window, array: ArrayInfo) -> list[int | float]:
    letter = _SCALARS[array.kind]
    return list(struct.unpack(f"<{array.count}{letter}", window.take(array.count * struct.calcsize(letter))))


def _alignment(metadata: dict[str, Value]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise _BrokenError(
            text(
                "its alignment is {alignment}, not a power of two up to {limit}",
                alignment=str(alignment)[:40],
                limit=MAX_ALIGNMENT,
            )
        )
    return alignment


def _read_tensors(window: _Window, count: int) -> tuple[TensorInfo, ...]:
    tensors: list[TensorInfo] = []
    names: set[str] = set()
    for _ in range(count):
        name = window.string(MAX_KEY).decode("utf-8", "replace")
        (dimensions,) = window.unpack("I")
        if name in names or not 0 < dimensions <= 4:
            raise _BrokenError(
                text(
                    "the tensor “{name}” stands twice or has {count} dimensions",
                    name=name[:100],
                    count=dimensions,
                )
            )
        names.add(name)
        shape = window.unpack("Q" * dimensions)
        kind, offset = window.unpack("IQ")
        tensors.append(_tensor(name, shape, kind, offset))
    return tuple(tensors)


def _tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> TensorInfo:
    if kind not in TENSOR_TYPES:
        raise _BrokenError(
            text("the tensor “{name}” has the unknown type {kind}", name=name[:100], kind=kind)
        )
    packing = TENSOR_TYPES[kind]
    weights = math.prod(shape)
    if weights >= 1 << 63 or shape[0] % packing.block_weights:
        raise _BrokenError(
            text(
                "the tensor “{name}” has the impossible shape {shape}",
                name=name[:100],
                shape="×".join(map(str, shape)),
            )
        )
    size = weights // packing.block_weights * packing.block_bytes
    return TensorInfo(name, shape, packing.name, offset, size)


def _check_bounds(tensors: tuple[TensorInfo, ...], alignment: int, data_offset: int, file_size: int) -> None:
    expected = 0
    for tensor in tensors:
        if tensor.offset != expected:
            raise _BrokenError(
                text(
                    "the tensor “{name}” is said to begin at byte {offset} of the data, not at {expected}",
                    name=tensor.name[:100],
                    offset=tensor.offset,
                    expected=expected,
                )
            )
        expected += -(-tensor.size // alignment) * alignment
        if data_offset + tensor.offset + tensor.size > file_size:
            raise _BrokenError(
                text(
                    "the tensor “{name}” should end at byte {end}, the file ends at {size}: it is cut off",
                    name=tensor.name[:100],
                    end=data_offset + tensor.offset + tensor.size,
                    size=file_size,
                )
            )
