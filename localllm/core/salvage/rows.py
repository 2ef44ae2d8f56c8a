"""The rows that stand on the pages of an SQLite file's tables.

A page says by itself what it is: a leaf of a table is found also where the pages that lead to it are lost.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.core.salvage.pages import Pages

Value = int | float | str | bytes | None

_INTERIOR, _LEAF = 0x05, 0x0D  # of a table
_MOST_COLUMNS = 64  # no table of this application has as many
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@dataclass(frozen=True)
class Row:
    """One row as it lies in the file; `whole` is False where a part of it was lost and is empty."""

    number: int
    values: tuple[Value, ...]
    whole: bool = True


def roots(pages: Pages) -> dict[str, int]:
    """Return the first page of each table by its name, as far as the list of tables can be read."""
    found: dict[str, int] = {}
    for page in leaves(pages, 1):
        for row in rows_of(pages, page):
            kind, name, root = (
                (row.values[0], row.values[1], row.values[3]) if len(row.values) == 5 else (0, 0, 0)
            )
            if kind == "table" and isinstance(name, str) and isinstance(root, int):
                found[name] = root
    return found


def leaves(pages: Pages, root: int) -> Iterator[int]:
    """Yield the leaves of a table that can be reached from its first page, in the order of its rows."""
    waiting, seen = [root], set[int]()
    while waiting:
        number = waiting.pop()
        if number in seen or not 0 < number <= pages.count:
            continue
        seen.add(number)
        page, head = pages.read(number), 100 if number == 1 else 0
        if page[head] == _LEAF:
            yield number
        elif page[head] == _INTERIOR:
            last = int.from_bytes(page[head + 8 : head + 12], "big")
            children = [int.from_bytes(page[cell : cell + 4], "big") for cell in _cells(page, head, 12)]
            waiting.extend(reversed([*children, last]))


def is_leaf(pages: Pages, number: int) -> bool:
    """Whether a page is, by what it says, a leaf of some table."""
    return pages.read(number)[100 if number == 1 else 0] == _LEAF


def rows_of(pages: Pages, number: int) -> Iterator[Row]:
    """Yield the rows of a leaf; those that make no sense are passed over."""
    page = pages.read(number)
    for cell in _cells(page, 100 if number == 1 else 0, 8):
        try:
            size, place = _varint(page, cell)
            rowid, place = _varint(page, place)
            if 0 < size <= pages.count * pages.size and rowid > 0:
                payload, whole = _payload(pages, page, place, size)
                yield Row(rowid, _values(payload), whole)
        except (IndexError, ValueError, struct.error):
            continue


def _cells(page: bytes, head: int, head_bytes: int) -> Iterator[int]:
    count = int.from_bytes(page[head + 3 : head + 5], "big")
    pointers = head + head_bytes
    for number in range(min(count, (len(page) - pointers) // 2)):
        place = int.from_bytes(page[pointers + 2 * number : pointers + 2 * number + 2], "big")
        if pointers <= place < len(page) - 3:
            yield place


def _payload(pages: Pages, page: bytes, place: int, size: int) -> tuple[bytes, bool]:
    """Return a row's bytes, and whether none of them is missing; zeros stand for those that are."""
    here, longest = size, len(page) - 35
    if size > longest:
        least = (len(page) - 12) * 32 // 255 - 23
        here = least + (size - least) % (len(page) - 4)
        here = here if here <= longest else least
    found = bytearray(page[place : place + here])
    following = int.from_bytes(page[place + here : place + here + 4], "big")
    seen: set[int] = set()
    while len(found) < size and 0 < following <= pages.count and following not in seen:
        seen.add(following)
        more = pages.read(following)
        following = int.from_bytes(more[:4], "big")
        found += more[4 : 4 + size - len(found)]
    return bytes(found.ljust(size, b"\0")), len(found) == size


def _values(payload: bytes) -> tuple[Value, ...]:
    """Read the columns of a row.

    Raises:
        ValueError, IndexError: It is no row.
    """
    end, place = _varint(payload, 0)
    kinds: list[int] = []
    while place < end:
        kind, place = _varint(payload, place)
        kinds.append(kind)
    if place != end or not 0 < len(kinds) <= _MOST_COLUMNS:
        raise ValueError("the head of the row is not sound")
    values: list[Value] = []
    for kind in kinds:
        value, place = _value(payload, place, kind)
        values.append(value)
    if place != len(payload):
        raise ValueError("the columns do not fill the row")
    return tuple(values)


def _value(payload: bytes, place: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, place
    if kind in _INTEGER_BYTES:
        end = place + _INTEGER_BYTES[kind]
        return int.from_bytes(payload[place:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack(">d", payload[place : place + 8])[0], place + 8
    if kind in (8, 9):
        return kind - 8, place
    if kind < 12:
        raise ValueError("a kind of value that there is not")
    end = place + (kind - 12) // 2
    if kind % 2:
        return payload[place:end].decode("utf-8", "replace").rstrip("\0"), end
    return payload[place:end], end


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for step in range(8):
        byte = content[place + step]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + step + 1
    value = value << 8 | content[place + 8]
    return value - (1 << 64) if value >> 63 else value, place + 9
