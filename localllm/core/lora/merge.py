"""Adapters merged into their model: W + strength · alpha / rank · B·A, computed in float32.

The file is that of llama.cpp's llama-export-lora (0c1e570): tensors by name, what was changed as F16, or as
F32 where it was, all else as it is. Rows are read, changed and written a few MiB at a time.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from localllm.core.convert.casts import Encoder
from localllm.core.unfinished import reserve
from localllm.errors import CheckpointRefused
from localllm.gguf import read_header
from localllm.gguf.adapters import EMBEDDING, alpha_of, check_adapter, check_match, pairs_of
from localllm.gguf.keys import Key
from localllm.gguf.rules import check_header
from localllm.gguf.types import TENSOR_TYPES
from localllm.gguf.writer import TensorPlace, header_of_pairs, offsets, pair_bytes, write_all
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import FileIO

    from localllm.engine.protocol import Adapter
    from localllm.gguf import GgufHeader, TensorInfo
    from localllm.progress import Progress

Floats = NDArray[np.float32]
_BLOCK = 1 << 18  # weights changed at once
_IN_TURN = 8  # the rank at which llama-export-lora adds up rounded products one after the other
_COPY = 4 << 20  # bytes copied at once
_F16_FILE = 1  # llama.cpp's LLAMA_FTYPE_MOSTLY_F16
_LEFT_OUT = ("general.file_type", "general.alignment", "split.no", "split.count", "split.tensors.count")
_TYPES = {kind.name: kind for kind in TENSOR_TYPES.values()}


@dataclass(frozen=True, slots=True)
class _Held:
    """A tensor of the model, and the file that holds it."""

    info: TensorInfo
    file: GgufHeader

    @property
    def offset(self) -> int:
        return self.file.data_offset + self.info.offset


@dataclass(frozen=True, slots=True)
class _Change:
    """One adapter's factors for one weight: delta = gain · left · right, for each matrix of a stack.

    `left` is stack × rows × rank, `right` stack × rank × columns.
    """

    left: Floats
    right: Floats
    gain: np.float32


class Merge:
    """A merged model that only has to be written."""

    def __init__(self, base: Sequence[Path], adapters: Sequence[Adapter]) -> None:
        """Read the headers.

        Args:
            base: The file of the model, or all its parts.
            adapters: GGUF adapters and their strengths; one that has several is added up.

        Raises:
            AdapterRefused: An adapter was made for another model, or is none.
            BadModelFile, ModelNotFound: A file is broken, or gone.
            CheckpointRefused: A weight is of a type that cannot be merged into.
        """
        files = [read_header(path) for path in base]
        for file in files:
            check_header(file)
        self._held = {tensor.name: _Held(tensor, file) for file in files for tensor in file.tensors}
        self._adapters = [_opened(adapter, _as_one(files)) for adapter in adapters]
        self._changed = {name for header, _ in self._adapters for name in pairs_of(header)}
        self._places = [self._place(name) for name in sorted(self._held, key=str.encode)]
        self._header = header_of_pairs(_pairs(files[0]), self._places)
        self._begins = [len(self._header) + offset for offset in offsets(self._places)]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._begins[-1]

    @property
    def changed(self) -> int:
        """Number of weights that are changed."""
        return len(self._changed)

    def write(self, path: Path, progress: Progress) -> int:
        """Write the whole file and have it on the disk; return how many weights became infinite in F16.

        Raises:
            OSError: The disk is full, or another fault of it.
            Cancelled: Through `progress`.
        """
        encoder, done = Encoder(), 0
        with path.open("xb", buffering=0) as file:
            reserve(path, self.size)
            file.truncate(self.size)
            write_all(file, memoryview(self._header))
            for place, begin in zip(self._places, self._begins, strict=False):
                file.seek(begin)
                for written in self._write_one(place, file, encoder):
                    done += written
                    progress.update(done, self.size, text("{name}", name=place.name))
            os.fsync(file.fileno())
        return encoder.overflowed

    def _place(self, name: str) -> TensorPlace:
        info = self._held[name].info
        shape = info.shape[::-1]
        if name not in self._changed:
            return TensorPlace(name, shape, info.type_name, info.size)
        if not _can_read(info.type_name):
            raise CheckpointRefused(
                text(
                    "“{name}” is of the type {kind}, into which nothing can be merged.",
                    name=name,
                    kind=info.type_name,
                ),
                hint=text("Merge into the F16 file of the model, then quantize the result."),
            )
        kind = "F32" if info.type_name == "F32" else "F16"
        return TensorPlace(name, shape, kind, prod(shape) * _TYPES[kind].block_bytes)

    def _write_one(self, place: TensorPlace, file: FileIO, encoder: Encoder) -> Iterator[int]:
        held = self._held[place.name]
        with held.file.path.open("rb", buffering=0) as source:
            source.seek(held.offset)
            if place.name not in self._changed:
                yield from _copy(source, file, held.info.size)
                return
            changes = [
                change
                for header, strength in self._adapters
                if (change := _change(header, place.name, strength))
            ]
            for values in _merged(source, held.info, changes):
                for data in encoder.encode(values, "F32", place.type_name):
                    write_all(file, data.data)
                    yield data.nbytes


def _opened(adapter: Adapter, base: GgufHeader) -> tuple[GgufHeader, float]:
    header = read_header(Path(adapter.path))
    check_adapter(header)
    check_match(header, base)
    return header, adapter.strength


def _as_one(files: list[GgufHeader]) -> GgufHeader:
    """Return the header of a model as if it lay in one file."""
    plain = {key: value for key, value in files[0].metadata.items() if key not in _LEFT_OUT}
    tensors = tuple(tensor for file in files for tensor in file.tensors)
    return replace(files[0], metadata=plain, tensors=tensors)


def _pairs(header: GgufHeader) -> list[bytes]:
    """Return the model's keys as they lie in its file, the type of the file last."""
    kept: list[bytes] = []
    with header.path.open("rb") as file:
        for key, (begin, end) in header.spans.items():
            if key not in _LEFT_OUT:
                file.seek(begin)
                kept.append(file.read(end - begin))
    return [*kept, pair_bytes(Key("general.file_type", "u32", _F16_FILE))]


def _can_read(type_name: str) -> bool:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    if type_name in ("F32", "F16", "BF16"):
        return True
    try:
        dequantize(np.zeros((1, _TYPES[type_name].block_bytes), np.uint8), GGMLQuantizationType[type_name])
    except (KeyError, NotImplementedError):
        return False
    return True


def _as_floats(raw: bytes, type_name: str) -> Floats:
    """Return whole rows, one after the other, as float32."""
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    if type_name == "F32":
        return np.frombuffer(raw, np.float32)
    if type_name == "F16":
        return np.frombuffer(raw, np.float16).astype(np.float32)
    data = np.frombuffer(raw, np.uint8)
    return dequantize(data, GGMLQuantizationType[type_name]).reshape(-1)


def _copy(source: FileIO, target: FileIO, size: int) -> Iterator[int]:
    left = size
    while left:
        piece = source.read(min(left, _COPY))
        if not piece:
            raise EOFError(f"{source.name} became shorter while it was read")
        write_all(target, memoryview(piece))
        left -= len(piece)
        yield len(piece)


def _change(header: GgufHeader, name: str, strength: float) -> _Change | None:
    pair = pairs_of(header).get(name)
    if pair is None:
        return None
    a, b = _factor(header, pair.a), _factor(header, pair.b)
    if name == EMBEDDING:  # rows of tokens: A has them, the other way round
        a, b = b.swapaxes(1, 2), a
    alpha, rank = np.float32(alpha_of(header)), np.float32(pair.rank)
    gain = np.float32(strength) * alpha / rank if alpha else np.float32(strength)
    return _Change(b, a, gain)


def _factor(header: GgufHeader, info: TensorInfo) -> Floats:
    """Return a factor with its outermost dimension first; one that is not in a stack as a stack of one."""
    with header.path.open("rb") as file:
        file.seek(header.data_offset + info.offset)
        values = _as_floats(file.read(info.size), info.type_name)
    shape = info.shape[::-1]
    return values.reshape(shape if len(shape) == 3 else (1, *shape))


def _merged(source: FileIO, info: TensorInfo, changes: list[_Change]) -> Iterator[Floats]:
    """Give the changed weight, some rows at a time."""
    columns, rows = info.shape[:2]
    row_bytes = info.size // prod(info.shape[1:])
    step = max(1, _BLOCK // columns)
    for matrix in range(prod(info.shape[2:])):
        for first in range(0, rows, step):
            last = min(first + step, rows)
            raw = source.read((last - first) * row_bytes)
            values = _as_floats(raw, info.type_name).reshape(last - first, columns)
            for change in changes:
                values = (
                    _product(change.left[matrix, first:last], change.right[matrix]) * change.gain + values
                )
            yield values


def _product(left: Floats, right: Floats) -> Floats:
    rank = len(right)
    if rank != _IN_TURN:
        return left @ right
    total = left[:, :1] * right[0]
    term = np.empty_like(total)
    for number in range(1, rank):
        np.multiply(left[:, number : number + 1], right[number], out=term)
        np.add(total, term, out=total)
    return total
