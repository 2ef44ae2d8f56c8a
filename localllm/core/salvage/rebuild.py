"""Puts what can be read of a damaged file's tables into a sound one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.salvage.pages import Pages
from localllm.core.salvage.rows import is_leaf, leaves, roots, rows_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from localllm.core.salvage.rows import Row, Value


@dataclass(frozen=True)
class Salvage:
    """What was saved: rows of each table, and how many of them have lost a part."""

    rows: Mapping[str, int]
    cut: int

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


@dataclass(frozen=True)
class _Table:
    """A table as it should be; `least` columns have no default and must be there."""

    name: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    required: tuple[bool, ...]
    rowid: int | None
    least: int

    @classmethod
    def of(cls, database: sqlite3.Connection, name: str) -> _Table:
        columns = database.execute(f"PRAGMA table_info({name})").fetchall()
        keys = [place for place, column in enumerate(columns) if column[5]]
        alias = keys[0] if len(keys) == 1 and columns[keys[0]][2].upper() == "INTEGER" else None
        needed = [place for place, column in enumerate(columns) if column[3] and column[4] is None]
        return cls(
            name,
            tuple(column[1] for column in columns),
            tuple(column[2].upper() for column in columns),
            tuple(bool(column[3] or column[5]) for column in columns),
            alias,
            max(needed, default=0) + 1,
        )

    def fits(self, row: Row) -> bool:
        """Whether a row can be one of this table; it may be older than the newest columns."""
        if not self.least <= len(row.values) <= len(self.columns):
            return False
        return all(self._fits(place, value) for place, value in enumerate(row.values))

    def _fits(self, place: int, value: Value) -> bool:
        if place == self.rowid:
            return value is None
        if value is None:
            return not self.required[place]
        match self.kinds[place]:
            case "TEXT":
                return isinstance(value, str)
            case "INTEGER":
                return isinstance(value, int)
            case _:
                return isinstance(value, (int, float))

    def insert(self, database: sqlite3.Connection, rows: Sequence[Row]) -> int:
        """Insert rows of one length; return how many could be."""
        names = self.columns[: len(rows[0].values)]
        marks = ", ".join("?" * len(names))
        before = database.total_changes
        database.executemany(
            f"INSERT OR IGNORE INTO {self.name} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608 - ours
            [self._with_number(row) for row in rows],
        )
        return database.total_changes - before

    def _with_number(self, row: Row) -> tuple[Value, ...]:
        if self.rowid is None:
            return row.values
        return (*row.values[: self.rowid], row.number, *row.values[self.rowid + 1 :])


def salvage(damaged: Path, into: sqlite3.Connection, tables: Sequence[str]) -> Salvage:
    """Copy the rows of some tables from a damaged file, whatever of it can still be read.

    Args:
        damaged: Only read, together with its write-ahead log.
        into: Has the tables, empty, without triggers; references between rows are not checked.
        tables: Their names; none of them is WITHOUT ROWID.

    Raises:
        OSError: The file cannot be read.
        sqlite3.Error: The other one cannot be written.
    """
    wanted = {name: _Table.of(into, name) for name in tables}
    saved, cut = dict.fromkeys(tables, 0), 0
    into.execute("PRAGMA foreign_keys = OFF")
    into.execute("BEGIN IMMEDIATE")
    try:
        with Pages(damaged) as pages:
            for number, owner in _pages_with_rows(pages, wanted):
                rows = [(_home(row, owner, wanted), row) for row in rows_of(pages, number)]
                for table, group in _groups(rows):
                    saved[table.name] += table.insert(into, group)
                    cut += sum(not row.whole for row in group)
        into.execute("COMMIT")
    except BaseException:
        if into.in_transaction:
            into.execute("ROLLBACK")
        raise
    return Salvage(saved, cut)


def _pages_with_rows(pages: Pages, wanted: Mapping[str, _Table]) -> Iterator[tuple[int, _Table | None]]:
    """Yield the leaves of the tables, then leaves that no table leads to any more."""
    known = roots(pages)
    seen = set(leaves(pages, 1))
    for name, root in known.items():
        for number in leaves(pages, root):
            if number not in seen:
                seen.add(number)
                if name in wanted:
                    yield number, wanted[name]
    free = pages.free()
    for number in range(2, pages.count + 1):
        if number not in seen and number not in free and is_leaf(pages, number):
            yield number, None


def _home(row: Row, owner: _Table | None, wanted: Mapping[str, _Table]) -> _Table | None:
    if owner is not None and owner.fits(row):
        return owner
    return next((table for table in wanted.values() if table.fits(row)), None)


def _groups(rows: Sequence[tuple[_Table | None, Row]]) -> Iterator[tuple[_Table, list[Row]]]:
    """Put rows of one table and one length together."""
    found: dict[tuple[str, int], tuple[_Table, list[Row]]] = {}
    for table, row in rows:
        if table is not None:
            found.setdefault((table.name, len(row.values)), (table, []))[1].append(row)
    yield from found.values()
