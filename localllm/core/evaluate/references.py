"""The predictions of full-precision models that were kept: so that a second quantization costs one pass.

They are large (about 40 % of two bytes for each token of the vocabulary and each scored position), lie in
the cache, and the oldest go when they are more than a limit.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.downloads.space import free_bytes
from localllm.engine.reference_files import SHARE, missing_chunks, read_tokens
from localllm.engine.version import engine_version
from localllm.errors import UsageError
from localllm.texts import GIB, Bytes, text

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 20 * GIB  # of all together
_KEPT_FREE = 10**9  # bytes of the disk
_HASH_DIGITS = 24


def bytes_needed(chunks: int, chunk_tokens: int, vocabulary: int) -> int:
    """Return what so many chunks take on the disk, rounded up."""
    return int(chunks * (chunk_tokens // 2) * vocabulary * 2 * SHARE)


@dataclass(frozen=True)
class References:
    """The folder with all that is kept; each model, text and chunk length has one below it."""

    folder: Path
    limit: int = LIMIT

    def place(self, model_hash: str, text_hash: str, chunk_tokens: int) -> Path:
        """Return the folder of one model and text."""
        key = f"{model_hash[:_HASH_DIGITS]}-{text_hash[:_HASH_DIGITS]}-{chunk_tokens}-{engine_version()}"
        return self.folder / key

    def missing(self, place: Path, chunks: int, chunk_tokens: int) -> int | None:
        """Return how many of so many chunks (0: all that the text has) are missing; None = not known yet."""
        there = len(read_tokens(place, chunk_tokens))
        if there == 0:
            return None
        return len(missing_chunks(place, min(chunks or there, there)))

    def make_room(self, place: Path, chunks: int, chunk_tokens: int, vocabulary: int) -> None:
        """Let old ones go so that so many chunks more stay within the limit, and check the disk.

        Raises:
            UsageError: The disk has no room for them.
        """
        need = bytes_needed(chunks, chunk_tokens, vocabulary)
        place.mkdir(parents=True, exist_ok=True)
        self._trim(self.limit - need, place)
        free = free_bytes(self.folder)
        if free < need + _KEPT_FREE:
            self._trim(0, place)
            free = free_bytes(self.folder)
        if free < need + _KEPT_FREE:
            raise UsageError(
                text(
                    "The reference's predictions need {need} on the disk of “{folder}”; {free} are free.",
                    need=Bytes(need),
                    folder=str(self.folder),
                    free=Bytes(free),
                ),
                safe=text("Nothing was written."),
                hint=text("Make room, or compare fewer chunks."),
            )

    def size(self) -> int:
        """Return the bytes of all that is kept."""
        return sum(_size(place) for place in self._places())

    def clear(self) -> int:
        """Remove everything; return the bytes that are free now."""
        freed = self.size()
        for place in self._places():
            shutil.rmtree(place, ignore_errors=True)
        return freed - self.size()

    def forget(self, place: Path) -> None:
        """Remove what is kept of one model and text."""
        shutil.rmtree(place, ignore_errors=True)

    def _trim(self, room: int, spared: Path) -> None:
        """Remove the ones used longest ago until the others take no more than `room`."""
        others = sorted((place for place in self._places() if place != spared), key=_used, reverse=True)
        total = _size(spared)
        for place in others:
            total += _size(place)
            if total > room:
                shutil.rmtree(place, ignore_errors=True)

    def _places(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [entry for entry in self.folder.iterdir() if entry.is_dir() and not entry.is_symlink()]


def _size(place: Path) -> int:
    total = 0
    for file in place.glob("*"):
        try:
            total += file.stat().st_size
        except OSError:  # gone meanwhile
            continue
    return total


def _used(place: Path) -> float:
    """Return when it was last written to or compared with; a comparison touches the folder."""
    try:
        return place.stat().st_mtime
    except OSError:
        return 0.0
