"""The pages of an SQLite file, with what its write-ahead log has newer; nothing in it is believed unchecked.

Offsets and layouts: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_MAGIC = b"SQLite format 3\0"
_USUAL_SIZE = 4096  # bytes of a page; every file of this application has it
_SIZES = tuple(1 << power for power in range(9, 17))
_LOG_HEAD, _FRAME_HEAD = 32, 24  # bytes
_LOG_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}  # byte order of its checksums


class Pages:
    """Reads pages by their number, from 1; use as a context.

    Raises:
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        log = path.with_name(f"{path.name}-wal")
        self._log = log.open("rb") if log.is_file() else None
        self.size = _page_size(self._file.read(100))
        length = self._file.seek(0, 2)
        self._newer = dict(self._frames(self._log)) if self._log else {}
        self.count = max(-(-length // self.size), *self._newer, 0)

    def __enter__(self) -> Pages:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._log:
            self._log.close()

    def read(self, number: int) -> bytes:
        """Return a page; zeros stand for what the file no longer has."""
        if self._log and number in self._newer:
            return _read(self._log, self._newer[number], self.size)
        return _read(self._file, (number - 1) * self.size, self.size)

    def free(self) -> frozenset[int]:
        """Return the pages that are not in use; none where the list of them does not agree with itself."""
        trunk, total = struct.unpack(">II", self.read(1)[32:40])
        found: set[int] = set()
        while 0 < trunk <= self.count and trunk not in found and len(found) <= total:
            page = self.read(trunk)
            following, leaves = struct.unpack(">II", page[:8])
            found.add(trunk)
            found.update(
                struct.unpack(f">{leaves}I", page[8 : 8 + 4 * leaves]) if leaves < self.size // 4 - 2 else ()
            )
            trunk = following
        return frozenset(found) if trunk == 0 and len(found) == total else frozenset()

    def _frames(self, log: BinaryIO) -> Iterator[tuple[int, int]]:
        """Yield page number and place in the log of every frame that was committed and is whole."""
        head = log.read(_LOG_HEAD)
        if len(head) < _LOG_HEAD or (magic := int.from_bytes(head[:4], "big")) not in _LOG_MAGICS:
            return
        if int.from_bytes(head[8:12], "big") != self.size:
            return
        order, salt, sums = _LOG_MAGICS[magic], head[16:24], struct.unpack(">II", head[24:32])
        waiting: list[tuple[int, int]] = []
        place = _LOG_HEAD
        while len(frame := log.read(_FRAME_HEAD + self.size)) == _FRAME_HEAD + self.size:
            number, committed = struct.unpack(">II", frame[:8])
            if frame[8:16] != salt:
                return
            stored = struct.unpack(">II", frame[16:24])
            if _checksum(frame[:8] + frame[24:], sums, order) == stored and number:
                waiting.append((number, place + _FRAME_HEAD))
            if committed:
                yield from waiting
                waiting = []
            sums, place = stored, place + len(frame)


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size).ljust(size, b"\0")


def _page_size(head: bytes) -> int:
    if head[:16] == _MAGIC:
        size = int.from_bytes(head[16:18], "big")
        size = 65536 if size == 1 else size
        if size in _SIZES:
            return size
    return _USUAL_SIZE


def _checksum(content: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = start
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for low, high in zip(words[::2], words[1::2], strict=True):
        first = (first + low + second) & 0xFFFFFFFF
        second = (second + high + first) & 0xFFFFFFFF
    return first, second
