"""Importance matrices in their two formats: GGUF, and the older `.dat`.

For each weight matrix: the squared inputs of each column summed over tokens, and how many tokens there were;
for experts one such row each. Formats: llama.cpp 0c1e570, tools/imatrix/README.md, common/imatrix-loader.cpp.
Strangers' files are read within bounds.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from localllm.errors import BadModelFile
from localllm.gguf.header import read_header, unreadable
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from localllm.gguf.header import GgufHeader
    from localllm.texts import Text

    Floats = NDArray[np.float32]

SUMS, COUNTS = ".in_sum2", ".counts"
_MAGIC, _VERSION, _ALIGNMENT = b"GGUF", 3, 32
_STRING, _ARRAY, _UINT32, _F32 = 8, 9, 4, 0
_MOST_ENTRIES, _LONGEST_NAME = 100_000, 4096  # of a .dat
_LONGEST_PATH = 65_536  # bytes of a data set's name


@dataclass(frozen=True)
class ImportanceSums:
    """Weights of one name: `sums` [matrices, columns]; `counts` [matrices], [1] if they are no experts."""

    sums: Floats
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Imatrix:
    """An importance matrix as the quantizer takes it.

    Attributes:
        entries: For each weight matrix the mean squared input of each column, experts one after the other;
            those of an expert without data are ones.
        datasets: Names of the texts it was made from.
        chunks: How many it was made from; 0 = the file does not say.
        chunk_tokens: Their length; 0 = the file does not say.
        partial: Matrices with experts that no token reached.
    """

    entries: Mapping[str, Floats]
    datasets: tuple[str, ...] = ()
    chunks: int = 0
    chunk_tokens: int = 0
    partial: tuple[str, ...] = ()


def write_imatrix(
    file: BinaryIO, matrices: Mapping[str, ImportanceSums], datasets: Sequence[str], chunks: int, tokens: int
) -> None:
    """Write the GGUF format, byte for byte as llama-imatrix does: names sorted, sums and counts as F32."""
    tensors: list[tuple[bytes, tuple[int, int], Floats]] = []
    for name in sorted(matrices, key=str.encode):
        one = matrices[name]
        counted = len(one.counts)
        tensors.append(((name + SUMS).encode(), (one.sums.size // counted, counted), one.sums))
        tensors.append(((name + COUNTS).encode(), (1, counted), one.counts.astype(np.float32)))
    names = [_string(name.encode()) for name in datasets]
    head = [
        _MAGIC, struct.pack("<IQQ", _VERSION, len(tensors), 4),
        _string(b"general.type"), struct.pack("<I", _STRING), _string(b"imatrix"),
        _string(b"imatrix.datasets"), struct.pack("<IIQ", _ARRAY, _STRING, len(names)), *names,
        _string(b"imatrix.chunk_count"), struct.pack("<II", _UINT32, chunks),
        _string(b"imatrix.chunk_size"), struct.pack("<II", _UINT32, tokens),
    ]  # fmt: skip
    offset = 0
    for name, shape, values in tensors:
        dimensions = shape[:1] if shape[1] == 1 else shape
        sizes = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        head += [_string(name), sizes, struct.pack("<IQ", _F32, offset)]
        offset += _padded(values.nbytes)
    start = b"".join(head)
    file.write(start.ljust(_padded(len(start)), b"\0"))
    for _, _, values in tensors:
        file.write(values.astype("<f4").tobytes().ljust(_padded(values.nbytes), b"\0"))


def read_imatrix(path: Path) -> Imatrix:
    """Read an importance matrix of either format.

    Raises:
        ModelNotFound: There is no such file, or it cannot be read.
        BadModelFile: It is none, or it is damaged.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                file.seek(0)
                return _read_legacy(file, path)
    except OSError as error:
        raise unreadable(path, error) from error
    return _mean(*_read_gguf(path))


def _mean(matrices: Mapping[str, ImportanceSums], header: GgufHeader) -> Imatrix:
    entries: dict[str, Floats] = {}
    partial: list[str] = []
    for name, one in matrices.items():
        counts = one.counts.astype(np.float32)[:, None]
        reached = counts > 0
        entries[name] = np.where(reached, one.sums / np.where(reached, counts, 1), np.float32(1)).ravel()
        if not reached.all():
            partial.append(name)
    datasets = tuple(name.decode("utf-8", "replace") for name in header.strings("imatrix.datasets"))
    chunks, tokens = (_number(header, key) for key in ("imatrix.chunk_count", "imatrix.chunk_size"))
    return Imatrix(entries, datasets, chunks, tokens, tuple(partial))


def _read_gguf(path: Path) -> tuple[dict[str, ImportanceSums], GgufHeader]:
    header = read_header(path)
    if header.metadata.get("general.type") != "imatrix":
        raise _refuse(path, text("it is something else than an importance matrix"))
    if any(
        key not in header.metadata and key not in header.arrays
        for key in ("imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size")
    ):
        raise _refuse(path, text("it does not say what it was made from"))
    tensors = {tensor.name: tensor for tensor in header.tensors}
    found: dict[str, ImportanceSums] = {}
    with path.open("rb") as file:

        def floats(name: str) -> Floats:
            tensor = tensors.get(name)
            if tensor is None or tensor.type_name != "F32":
                raise _refuse(path, text("“{name}” is missing or of another type", name=name))
            file.seek(header.data_offset + tensor.offset)
            values = np.fromfile(file, "<f4", math.prod(tensor.shape))
            if len(values) != math.prod(tensor.shape) or not np.isfinite(values).all():
                raise _refuse(path, text("the numbers of “{name}” are damaged", name=name))
            return values

        for name in sorted({_stem(tensor) for tensor in tensors} - {""}):
            sums, counts = floats(name + SUMS), floats(name + COUNTS)
            if not len(counts) or not len(sums) or len(sums) % len(counts):
                raise _refuse(path, text("“{name}” has no usable size", name=name))
            shaped = sums.reshape(len(counts), -1)
            found[name] = ImportanceSums(shaped, np.rint(counts).astype(np.int64))
    if not found:
        raise _refuse(path, text("there is nothing in it"))
    return found, header


def _stem(name: str) -> str:
    for ending in (SUMS, COUNTS):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return ""


def _number(header: GgufHeader, key: str) -> int:
    value = header.metadata.get(key, 0)
    return value if isinstance(value, int) else 0


def _read_legacy(file: BinaryIO, path: Path) -> Imatrix:
    size = os.fstat(file.fileno()).st_size
    wrong = _refuse(path, text("it is neither of the two formats, or cut off"))

    def number() -> int:
        content = file.read(4)
        if len(content) != 4:
            raise wrong
        return struct.unpack("<i", content)[0]

    def take(count: int, limit: int) -> bytes:
        if not 0 < count <= min(limit, size - file.tell()):
            raise wrong
        return file.read(count)

    entries: dict[str, Floats] = {}
    count = number()
    if not 0 < count <= _MOST_ENTRIES:
        raise wrong
    for _ in range(count):
        name = take(number(), _LONGEST_NAME).decode("utf-8", "replace")
        calls = number()
        values = np.frombuffer(take(4 * number(), size), "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise wrong
        entries[name] = values / np.float32(calls) if calls > 0 else values
    if file.tell() + 8 > size:
        return Imatrix(entries)
    chunks = max(0, number())
    length = number()
    dataset = take(length, _LONGEST_PATH).decode("utf-8", "replace") if length > 0 else ""
    return Imatrix(entries, (dataset,) if dataset else (), chunks)


def _refuse(path: Path, reason: Text) -> BadModelFile:
    return BadModelFile(
        text("“{name}” cannot be used as an importance matrix: {reason}.", name=path.name, reason=reason),
        hint=text("Take another file, or have one made."),
    )


def _string(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
