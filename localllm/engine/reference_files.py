"""The files that a reference's probabilities are kept in: its tokens, and one file for each chunk.

A folder belongs to one model, text and chunk length. Chunks come one by one, so that a pass that was
stopped goes on where it ended. Tokens 16 nats or more below the most likely one, mostly two thirds of the
vocabulary, are left out, which makes files smaller than zlib does (0.43 of two bytes a token against 0.51
with SmolLM2) in a tenth of the time. A chunk's file: magic, rows, vocabulary, number of values, CRC-32 of
what follows; then of all rows scale and lowest (float32), a bit for each token, and the values (uint16).
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from localllm.errors import DamagedCache
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_HEAD = struct.Struct("<8sIIQI")
_MAGIC = b"LLMlogp2"
_TOKENS = "tokens.i32"
SHARE = 0.55  # of two bytes a token: what a chunk is expected to take on disk


@dataclass(frozen=True)
class PackedChunk:
    """Log-probabilities of a chunk's positions in 16 bits: log p = value * scale + lowest, value 0 left out.

    Attributes:
        vocabulary: Tokens.
        scales: [rows, 2] scale and lowest.
        bits: [rows, vocabulary / 8] whether a token has a value.
        values: Of all rows, one after the other.
        ends: Where each row's values end.
    """

    vocabulary: int
    scales: NDArray[np.float32]
    bits: NDArray[np.uint8]
    values: NDArray[np.uint16]
    ends: NDArray[np.int64]

    @classmethod
    def of(
        cls, vocabulary: int, scales: NDArray[np.float32], bits: NDArray[np.uint8], values: NDArray[np.uint16]
    ) -> PackedChunk:
        """Put the parts together."""
        ends = np.cumsum(np.bitwise_count(bits).sum(axis=1, dtype=np.int64))
        return cls(vocabulary, scales, bits, values, ends)

    def row(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
        """Return the tokens of a row that have a value, in their order, and the values."""
        present = np.unpackbits(self.bits[number], count=self.vocabulary).view(np.bool_)
        start = self.ends[number - 1] if number else 0
        return np.flatnonzero(present), self.values[start : self.ends[number]]


def chunk_file(folder: Path, number: int) -> Path:
    """Return the file of a chunk."""
    return folder / f"chunk-{number:05d}.z"


def missing_chunks(folder: Path, chunks: int) -> list[int]:
    """Return the numbers of chunks that are not there yet."""
    return [number for number in range(chunks) if not chunk_file(folder, number).is_file()]


def write_chunk(folder: Path, number: int, chunk: PackedChunk) -> None:
    """Write a chunk under its name only when it is complete.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    target = chunk_file(folder, number)
    temporary = target.with_suffix(".part")
    body = b"".join(part.tobytes() for part in (chunk.scales, chunk.bits, chunk.values))
    head = _HEAD.pack(_MAGIC, len(chunk.bits), chunk.vocabulary, len(chunk.values), zlib.crc32(body))
    try:
        with temporary.open("wb") as file:
            file.write(head)
            file.write(body)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_chunk(folder: Path, number: int, rows: int, vocabulary: int) -> PackedChunk:
    """Read a chunk of so many rows.

    Raises:
        DamagedCache: It is gone, damaged, or of another size.
    """
    places = [8 * rows, rows * -(-vocabulary // 8)]
    try:
        with chunk_file(folder, number).open("rb") as file:
            head = file.read(_HEAD.size)
            body = file.read(sum(places) + 2 * rows * vocabulary + 1)
    except OSError as error:
        raise damaged(str(error)) from error
    scales, bits, values = body[: places[0]], body[places[0] : sum(places)], body[sum(places) :]
    if head != _HEAD.pack(_MAGIC, rows, vocabulary, len(values) // 2, zlib.crc32(body)):
        raise damaged("another size, or damaged")
    return PackedChunk.of(
        vocabulary,
        np.frombuffer(scales, np.float32).reshape(rows, 2),
        np.frombuffer(bits, np.uint8).reshape(rows, -1),
        np.frombuffer(values, np.uint16),
    )


def write_tokens(folder: Path, chunks: NDArray[np.int32]) -> None:
    """Keep the tokens of all chunks that the text has.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{_TOKENS}.{os.getpid()}"
    temporary.write_bytes(chunks.astype("<i4").tobytes())
    temporary.replace(folder / _TOKENS)


def read_tokens(folder: Path, chunk_tokens: int) -> NDArray[np.int32]:
    """Return the tokens of all chunks that were kept, one chunk a row; none if there are none."""
    try:
        content = np.frombuffer((folder / _TOKENS).read_bytes(), "<i4")
    except (OSError, ValueError):
        return np.empty((0, chunk_tokens), np.int32)
    whole = len(content) // chunk_tokens * chunk_tokens
    return content[:whole].reshape(-1, chunk_tokens)


def damaged(detail: str) -> DamagedCache:
    """Return the error for kept probabilities that cannot be used."""
    return DamagedCache(
        text("What was kept of the reference's predictions is damaged."),
        hint=text("Start again: it is then made anew."),
        detail=detail,
    )
