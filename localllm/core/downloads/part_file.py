"""An unfinished file on disk: its bytes, what is known of each block, and which file it is to become.

    0.part          the bytes, at their places
    0.blocks        8 bytes a block: its XXH3 checksum, 0 = not there
    0.state.json    repository, commit, name, size, SHA-256 and ETag; written whole or not at all

A checksum is written after its block, so a killed program loses the blocks that were on their way and no
other. After a power cut the two files may disagree: a block counts only when it has been read back from the
disk and has its checksum (`read_block`), whoever wrote it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

import xxhash

from localllm.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 1 << 20  # bytes
_SLOT = 8  # bytes of a checksum
NONE, TAKEN, THERE = 0, 1, 2  # of a block


@dataclass(frozen=True)
class Identity:
    """Which file this is to become.

    Attributes:
        sha256: None where the publisher gives none; then another ETag means another file.
        etag: Of the host that sends the bytes, "" before the first answer.
    """

    repo: str
    commit: str
    file: str
    size: int
    sha256: str | None
    etag: str = ""

    def same_content(self, other: Identity) -> bool:
        """Return whether blocks of one may be used for the other."""
        return (self.repo, self.commit, self.file, self.size, self.sha256) == (
            other.repo,
            other.commit,
            other.file,
            other.size,
            other.sha256,
        )


class PartFile:
    """The unfinished file; blocks may be written from several threads, each its own."""

    def __init__(self, folder: Path, number: int, identity: Identity) -> None:
        """Open what is there of this very file, or begin a new one.

        Raises:
            OSError: The folder cannot be written, or the disk is full.
        """
        self.path = folder / f"{number}.part"
        self._blocks_path = folder / f"{number}.blocks"
        self._state_path = folder / f"{number}.state.json"
        folder.mkdir(parents=True, exist_ok=True)
        kept = self._read_state()
        if kept is None or not kept.same_content(identity):
            remove_part(folder, number)
            kept = identity
        self.identity = kept
        self.count = -(-identity.size // BLOCK)
        self._save_state()
        self._sums = self._read_sums()
        self.states = bytearray(THERE if checksum else NONE for checksum in self._sums)
        self._lock = threading.Lock()
        self._file = _open(self.path)
        try:
            self._slots = _open(self._blocks_path)
        except BaseException:
            self._file.close()
            raise

    def length(self, block: int) -> int:
        """Return the bytes of a block."""
        return min(BLOCK, self.identity.size - block * BLOCK)

    @property
    def done(self) -> int:
        """Bytes in blocks that are there."""
        there = self.states.count(THERE)
        last = self.count - 1
        return there * BLOCK - (BLOCK - self.length(last) if there and self.states[last] == THERE else 0)

    def open_writer(self) -> IO[bytes]:
        """Return the file for one thread to write; unbuffered."""
        return _open(self.path)

    def finish_block(self, block: int, checksum: int) -> None:
        """Note that a block has been written."""
        self._set_sum(block, checksum or 1)
        self.states[block] = THERE

    def read_block(self, block: int) -> bytes | None:
        """Return a block as the disk gives it back, None if that is not what was written."""
        with self._lock:
            self._file.seek(block * BLOCK)
            content = self._file.read(self.length(block))
        right = (
            len(content) == self.length(block)
            and (xxhash.xxh3_64_intdigest(content) or 1) == self._sums[block]
        )
        return content if right else None

    def drop_block(self, block: int) -> None:
        """Forget a block: it must come again."""
        self._set_sum(block, 0)
        self.states[block] = NONE

    def set_etag(self, etag: str) -> None:
        """Keep the ETag of the host that sends the bytes."""
        self.identity = dataclasses.replace(self.identity, etag=etag)
        self._save_state()

    def sync(self) -> None:
        """Return when what was written is on the disk: bytes first, then their checksums."""
        for file in (self._file, self._slots):
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close it; it can be opened again."""
        self._file.close()
        self._slots.close()

    def _set_sum(self, block: int, checksum: int) -> None:
        with self._lock:
            self._sums[block] = checksum
            self._slots.seek(block * _SLOT)
            self._slots.write(checksum.to_bytes(_SLOT, "little"))

    def _read_sums(self) -> list[int]:
        raw = b""
        with contextlib.suppress(FileNotFoundError):
            raw = self._blocks_path.read_bytes()[: self.count * _SLOT]
        raw = raw.ljust(self.count * _SLOT, b"\0")
        return [int.from_bytes(raw[at : at + _SLOT], "little") for at in range(0, len(raw), _SLOT)]

    def _read_state(self) -> Identity | None:
        try:
            stored = cast("dict[str, Any]", json.loads(self._state_path.read_bytes()))
            if stored.pop("block") != BLOCK:
                return None
            return Identity(**stored)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _save_state(self) -> None:
        record = dataclasses.asdict(self.identity) | {"block": BLOCK}
        write_atomically(self._state_path, json.dumps(record, indent=1).encode())


def remove_part(folder: Path, number: int) -> None:
    """Delete an unfinished file and what is known of it."""
    for ending in ("state.json", "blocks", "part"):
        (folder / f"{number}.{ending}").unlink(missing_ok=True)


def bytes_there(folder: Path, number: int, size: int) -> int:
    """Return about how many bytes of an unfinished file are there, by its notes."""
    with contextlib.suppress(OSError):
        raw = (folder / f"{number}.blocks").read_bytes()
        blocks = sum(raw[at : at + _SLOT] != bytes(_SLOT) for at in range(0, len(raw), _SLOT))
        return min(size, blocks * BLOCK)
    return 0


def _open(path: Path) -> IO[bytes]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    return os.fdopen(descriptor, "r+b", buffering=0)
