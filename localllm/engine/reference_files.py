"""The files that a reference's probabilities are kept in: its tokens, and one compressed file for each chunk.

A folder belongs to one model, text and chunk length. Chunks come one by one, so that a pass that was
stopped goes on where it ended. A chunk's file: magic, rows, uint16 of a row, then the rows with zlib.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from localllm.errors import DamagedCache
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_HEAD = struct.Struct("<8sII")
_MAGIC = b"LLMlogp1"
_LEVEL = 1  # 0.40 of the size at 67 MB/s; level 6 makes it 0.375 at 18 MB/s
_LARGEST_EXCESS = 1 << 20  # bytes by which what cannot be compressed may become larger
_TOKENS = "tokens.i32"
SHARE = 0.5  # of the uncompressed size, rounded up: what a chunk takes on disk


def chunk_file(folder: Path, number: int) -> Path:
    """Return the file of a chunk."""
    return folder / f"chunk-{number:05d}.z"


def missing_chunks(folder: Path, chunks: int) -> list[int]:
    """Return the numbers of chunks that are not there yet."""
    return [number for number in range(chunks) if not chunk_file(folder, number).is_file()]


def write_chunk(folder: Path, number: int, rows: NDArray[np.uint16]) -> None:
    """Write a chunk under its name only when it is complete.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    target = chunk_file(folder, number)
    temporary = target.with_suffix(".part")
    try:
        with temporary.open("wb") as file:
            file.write(_HEAD.pack(_MAGIC, *rows.shape))
            file.write(zlib.compress(rows.tobytes(), _LEVEL))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_chunk(folder: Path, number: int, rows: int, width: int) -> NDArray[np.uint16]:
    """Read a chunk of so many rows of so many uint16.

    Raises:
        DamagedCache: It is gone, damaged, or of another size.
    """
    try:
        with chunk_file(folder, number).open("rb") as file:
            head = file.read(_HEAD.size)
            packed = file.read(2 * rows * width + _LARGEST_EXCESS)
    except OSError as error:
        raise damaged(str(error)) from error
    if head != _HEAD.pack(_MAGIC, rows, width):
        raise damaged("another size")
    try:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(packed, 2 * rows * width)
        if not unpacking.eof and unpacking.decompress(unpacking.unconsumed_tail, 1):
            raise damaged("too long")
        return np.frombuffer(content, np.uint16).reshape(rows, width)
    except (ValueError, zlib.error) as error:
        raise damaged(str(error)) from error


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
