"""Moves through a stranger's file within bounds: never holds more than it was asked for plus a chunk."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, BinaryIO

from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_STRING = 64 << 20  # bytes
_CHUNK = 1 << 20
_ZEROS = b"\0" * 7  # what follows the first byte of a length below 256
_STRIDE = 1 << 17  # bytes split at once
_FEW = 64  # strings read one by one where the quick way ends; four times as many if it ends soon again
_WORTH_IT = 1_024  # strings that pay for a split
_ONE_MORE = bytes([*range(1, 256), 0])
_LENGTH = struct.Struct("<Q")
_last_byte: Callable[[bytes], int] = itemgetter(-1)


class BrokenError(Exception):
    """Carries the reason out of the parser."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass
class Window:
    """A bounded view on `file`, which has `size` bytes; `position` is where the next read begins."""

    file: BinaryIO
    size: int
    position: int = 0
    start: int = 0
    data: bytes = field(default=b"")

    def require(self, count: int) -> int:
        """Make `count` bytes at the position available; return where they begin in `data`."""
        if count > self.size - self.position:
            raise BrokenError(
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
                raise BrokenError(text("the file became shorter while it was read"))
        return begin

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """Read numbers."""
        begin = self.require(layout.size)
        self.position += layout.size
        return layout.unpack_from(self.data, begin)

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        begin = self.require(count)
        self.position += count
        return self.data[begin : begin + count]

    def string(self, limit: int = MAX_STRING, kept: int = MAX_STRING) -> bytes:
        """Read a text with its length before it; b"" in place of one longer than `kept`."""
        (length,) = self.unpack(_LENGTH)
        if length > min(limit, self.size - self.position):
            raise BrokenError(
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

    def walk_strings(self, count: int, kept: list[bytes] | None = None) -> None:
        """Pass over so many strings, keeping them if a list is given; written for 150,000 of them."""
        read, steps = 0, _FEW
        while read < count:
            quick = self._walk_short(count - read, kept)
            steps = _FEW if quick >= _WORTH_IT else steps * 4
            read += quick
            stop = min(count, read + steps)
            while read < stop:
                read += self._walk_window(stop - read, kept)

    def _walk_window(self, count: int, kept: list[bytes] | None) -> int:
        """Pass over strings of any length, as many as are in the window; return how many, at least 1."""
        position, read, unpack = self.require(8), 0, _LENGTH.unpack_from
        data, end, rest = self.data, len(self.data), self.size - self.start
        while read < count and position + 8 <= end:
            (length,) = unpack(data, position)
            stop = position + 8 + length
            if length > MAX_STRING or stop > rest or (stop > end and kept is not None):
                break
            if kept is not None:
                kept.append(data[position + 8 : stop])
            position = stop
            read += 1
        self.position = self.start + position
        if read:
            return read
        item = self.string()  # too long for the window, or for the file
        if kept is not None:
            kept.append(item)
        return 1

    def _walk_short(self, count: int, kept: list[bytes] | None) -> int:
        """Pass over strings of at most 254 bytes that are wholly in the window; return how many.

        Splitting at seven zeros gives pieces of a string and the next one's first length byte. Where each
        piece is as long as the byte before it says, the pieces are the strings: the length of the first is
        known, and each ends where the next one's length begins. One that holds zeros itself ends the run.
        """
        begin = self.require(8)
        pieces = self.data[begin : begin + _STRIDE].split(_ZEROS, count + 1)
        del pieces[-1]  # it may go on after this stride
        if not pieces or len(pieces[0]) != 1:
            return 0
        try:
            found = bytes(map(len, pieces))
            expected = bytes(map(_last_byte, pieces)).translate(_ONE_MORE)
        except (ValueError, IndexError):  # a piece of more than 255 bytes, or an empty one
            return 0
        whole = len(pieces) - 1
        if found[1:] != expected[:-1]:
            whole = next(n for n in range(whole) if found[n + 1] != expected[n])
        if kept is not None:
            kept.extend([piece[:-1] for piece in pieces[1 : whole + 1]])
        self.position += sum(found[1 : whole + 1]) + 7 * whole
        return whole
