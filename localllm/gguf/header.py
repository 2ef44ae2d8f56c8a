"""Reads the header of a GGUF file within fixed limits, whatever the file claims.

Layout (ggml/docs/gguf.md): magic, version, tensor count, pair count, key-value pairs, tensor infos,
padding, tensor data. The limits are those that llama.cpp needs to stay out of its assertions and that
no real model comes near.
"""

from __future__ import annotations

import math
import os
import stat
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localllm.errors import BadModelFile, ModelNotFound
from localllm.gguf.types import FILE_TYPES, TENSOR_TYPES
from localllm.gguf.window import BrokenError, Window
from localllm.texts import Text, text

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

Scalar = int | float | bool | str
Value = Scalar | list[int | float]

MAX_PAIRS = 65_535
MAX_TENSORS = 1_000_000
MAX_KEY = 65_536  # bytes
MAX_ARRAY = 16 << 20  # elements
MAX_ALIGNMENT = 65_536
MAX_HEADER = 256 << 20  # bytes of all entries together
MAX_KEPT_STRING = 1 << 20  # bytes; longer texts of the header are passed over
MAX_KEPT_TOKENS = 2_000_000
KEPT_ARRAY = 4_096  # longer arrays are skipped; `GgufHeader.strings` and `.numbers` read them on demand
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SCALAR = {kind: struct.Struct("<" + letter) for kind, letter in _SCALARS.items()}
_INT, _COUNTS, _LIST = (struct.Struct("<" + layout) for layout in ("I", "QQ", "IQ"))
_SHAPES = tuple(struct.Struct("<" + "Q" * dimensions) for dimensions in range(5))
_TOKENS = "tokenizer.ggml.tokens"


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
        pairs_end: Where the key-value pairs end and the tensor infos begin, bytes.
        tokens: The vocabulary; empty if it has more than `MAX_KEPT_TOKENS` entries.
        spans: Where each key-value pair begins and ends, bytes.
    """

    path: Path
    file_size: int
    version: int
    alignment: int
    metadata: dict[str, Value]
    arrays: dict[str, ArrayInfo]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    tokens: list[bytes] = field(default_factory=list[bytes], repr=False)
    pairs_end: int = 0
    spans: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]], repr=False)

    @property
    def architecture(self) -> str:
        """`general.architecture`, or "" if it is missing."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def is_further_part(self) -> bool:
        """Whether it is the second or a later file of a split model: those have tensors and no keys."""
        number = self.metadata.get("split.no")
        return not self.architecture and isinstance(number, int) and number > 0

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
        if key == _TOKENS and array.count == len(self.tokens):
            return self.tokens
        with self.path.open("rb") as file:
            window = Window(file, self.file_size)
            window.position = array.offset
            found: list[bytes] = []
            window.walk_strings(array.count, found)
            return found

    def raw(self, key: str, kind: int) -> bytes:
        """Read an array of numbers of this GGUF type as it lies in the file; b"" if there is none."""
        array = self.arrays.get(key)
        if array is None or array.kind != kind or kind not in _SCALARS:
            return b""
        with self.path.open("rb") as file:
            window = Window(file, self.file_size, array.offset)
            return window.take(array.count * _SCALAR[kind].size)

    def numbers(self, key: str) -> list[int | float]:
        """Read an array of numbers; [] if there is none of that name."""
        array = self.arrays.get(key)
        if array is None or array.kind not in _SCALARS:
            return []
        with self.path.open("rb") as file:
            window = Window(file, self.file_size)
            window.position = array.offset
            return _numbers(window, array)


def read_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file.

    Raises:
        ModelNotFound: There is no such file, or it cannot be read.
        BadModelFile: It is not a GGUF file or breaks a limit; the sentence names value and limit.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # opening a pipe would wait for ever
            raise refuse(path, text("it is a device or a pipe, not a file"))
        with path.open("rb") as file:
            return read_stream(file, os.fstat(file.fileno()).st_size, path)
    except OSError as error:
        raise unreadable(path, error) from error


def read_stream(file: BinaryIO, size: int, path: Path) -> GgufHeader:
    """Read the header from an open file of `size` bytes that can seek; `path` is what messages call it.

    Raises:
        BadModelFile: It is not a GGUF file or breaks a limit; the sentence names value and limit.
    """
    window = Window(file, size)
    try:
        version, tensor_count, pair_count = _read_preamble(window)
        pairs = _read_pairs(window, pair_count)
        pairs_end = window.position
        alignment = _alignment(pairs.metadata)
        tensors = _read_tensors(window, tensor_count)
        data_offset = -(-window.position // alignment) * alignment
        _check_bounds(tensors, alignment, data_offset, size)
    except BrokenError as error:
        raise refuse(path, error.reason) from error
    return GgufHeader(
        path,
        size,
        version,
        alignment,
        pairs.metadata,
        pairs.arrays,
        tensors,
        data_offset,
        pairs.tokens,
        pairs_end,
        pairs.spans,
    )


def unreadable(path: Path, error: OSError) -> ModelNotFound:
    """Return the error for a file that is gone or that the system does not let us read."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return ModelNotFound(
            text("There is no file “{path}”.", path=str(path)),
            hint=text("Check the path, or choose another model."),
        )
    return ModelNotFound(
        text("“{path}” cannot be read: {reason}.", path=str(path), reason=error.strerror or str(error)),
        hint=text("Check the path and its permissions."),
    )


def refuse(path: Path, reason: Text) -> BadModelFile:
    """Return the error for a file that is not a usable model."""
    return BadModelFile(
        text("“{name}” is not a usable model: {reason}.", name=path.name, reason=reason),
        hint=text("Download it again, or choose another file."),
        safe=text("The file was not opened by the engine; nothing was changed."),
        detail=str(path),
    )


@dataclass
class _Pairs:
    metadata: dict[str, Value] = field(default_factory=dict[str, "Value"])
    arrays: dict[str, ArrayInfo] = field(default_factory=dict[str, ArrayInfo])
    tokens: list[bytes] = field(default_factory=list[bytes])
    spans: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])


def _read_preamble(window: Window) -> tuple[int, int, int]:
    if window.size < 24 or window.take(4) != b"GGUF":
        raise BrokenError(text("it does not begin as a GGUF file does"))
    (version,) = window.unpack(_INT)
    if version and version & 0xFFFF == 0:
        raise BrokenError(text("it was written for big-endian computers"))
    if version not in (2, 3):
        raise BrokenError(
            text("it has GGUF version {version}, and only 2 and 3 can be read", version=version)
        )
    tensor_count, pair_count = window.unpack(_COUNTS)
    for count, limit, what in (
        (tensor_count, MAX_TENSORS, text("tensors")),
        (pair_count, MAX_PAIRS, text("header entries")),
    ):
        if count > min(limit, window.size // 12):
            raise BrokenError(
                text(
                    "it claims {count} {what}, more than {limit}",
                    count=count,
                    what=what,
                    limit=min(limit, window.size // 12),
                )
            )
    return version, tensor_count, pair_count


def _read_pairs(window: Window, count: int) -> _Pairs:
    found = _Pairs()
    for _ in range(count):
        if window.position > MAX_HEADER:
            raise BrokenError(text("its header is longer than {limit} bytes", limit=MAX_HEADER))
        begin = window.position
        key = window.string(MAX_KEY).decode("utf-8", "replace")
        if not key or key in found.metadata or key in found.arrays:
            raise BrokenError(text("the header entry “{key}” is empty or stands twice", key=key[:100]))
        (kind,) = window.unpack(_INT)
        if kind == _ARRAY:
            _read_array(window, key, found)
        elif kind == _STRING:
            found.metadata[key] = window.string(kept=MAX_KEPT_STRING).decode("utf-8", "replace")
        elif kind in _SCALARS:
            found.metadata[key] = window.unpack(_SCALAR[kind])[0]
        else:
            raise BrokenError(
                text("the header entry “{key}” has the unknown type {kind}", key=key[:100], kind=kind)
            )
        found.spans[key] = (begin, window.position)
    return found


def _read_array(window: Window, key: str, found: _Pairs) -> None:
    kind, count = window.unpack(_LIST)
    if kind != _STRING and kind not in _SCALARS:
        raise BrokenError(
            text("the list “{key}” has elements of the unknown type {kind}", key=key[:100], kind=kind)
        )
    if count > MAX_ARRAY:
        sentence = "the list “{key}” claims {count} entries, more than {limit}"
        raise BrokenError(text(sentence, key=key[:100], count=count, limit=MAX_ARRAY))
    array = found.arrays[key] = ArrayInfo(kind, count, window.position)
    if kind == _STRING:
        window.walk_strings(count, found.tokens if key == _TOKENS and count <= MAX_KEPT_TOKENS else None)
        return
    length = count * _SCALAR[kind].size
    if length > window.size - window.position:
        raise BrokenError(text("the list “{key}” is longer than the rest of the file", key=key[:100]))
    if count <= KEPT_ARRAY:
        found.metadata[key] = _numbers(window, array)
    else:
        window.position += length


def _numbers(window: Window, array: ArrayInfo) -> list[int | float]:
    letter = _SCALARS[array.kind]
    return list(struct.unpack(f"<{array.count}{letter}", window.take(array.count * struct.calcsize(letter))))


def _alignment(metadata: dict[str, Value]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise BrokenError(
            text(
                "its alignment is {alignment}, not a power of two up to {limit}",
                alignment=str(alignment)[:40],
                limit=MAX_ALIGNMENT,
            )
        )
    return alignment


def _read_tensors(window: Window, count: int) -> tuple[TensorInfo, ...]:
    tensors: list[TensorInfo] = []
    names: set[str] = set()
    for _ in range(count):
        name = window.string(MAX_KEY).decode("utf-8", "replace")
        (dimensions,) = window.unpack(_INT)
        if name in names or not 0 < dimensions <= 4:
            raise BrokenError(
                text(
                    "the tensor “{name}” stands twice or has {count} dimensions",
                    name=name[:100],
                    count=dimensions,
                )
            )
        names.add(name)
        shape = window.unpack(_SHAPES[dimensions])
        kind, offset = window.unpack(_LIST)
        tensors.append(_tensor(name, shape, kind, offset))
    return tuple(tensors)


def _tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> TensorInfo:
    if kind not in TENSOR_TYPES:
        raise BrokenError(text("the tensor “{name}” has the unknown type {kind}", name=name[:100], kind=kind))
    packing = TENSOR_TYPES[kind]
    weights = math.prod(shape)
    if weights >= 1 << 63 or shape[0] % packing.block_weights:
        raise BrokenError(
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
            raise BrokenError(
                text(
                    "the tensor “{name}” is said to begin at byte {offset} of the data, not at {expected}",
                    name=tensor.name[:100],
                    offset=tensor.offset,
                    expected=expected,
                )
            )
        expected += -(-tensor.size // alignment) * alignment
        if data_offset + tensor.offset + tensor.size > file_size:
            raise BrokenError(
                text(
                    "the tensor “{name}” should end at byte {end}, the file ends at {size}: it is cut off",
                    name=tensor.name[:100],
                    end=data_offset + tensor.offset + tensor.size,
                    size=file_size,
                )
            )
