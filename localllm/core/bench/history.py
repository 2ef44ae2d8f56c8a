"""Every bench of this computer, and imported ones, with what is needed to repeat it; one SQLite file."""

from __future__ import annotations

import itertools
import json
import logging
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from localllm.core.bench.rows import BenchRow
from localllm.core.kept_database import KeptDatabase
from localllm.errors import LocalLLMError
from localllm.texts import text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

Source = Literal["here", "import"]
Result = TypeVar("Result")
_LARGEST_NUMBER = 2**63 - 1
_TABLES = """
    PRAGMA synchronous=NORMAL;
    PRAGMA foreign_keys=ON;
    CREATE TABLE IF NOT EXISTS runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        created REAL NOT NULL,
        source TEXT NOT NULL,
        name TEXT NOT NULL,
        facts TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS rows (
        id INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        record TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS rows_of_run ON rows (run);
"""

_TIDY = """
    INSERT INTO runs (id, created, source, name, facts)
    SELECT DISTINCT run, 0, 'here', '', '{}' FROM rows WHERE run NOT IN (SELECT id FROM runs)
"""  # for rows that damage has parted from their run


@dataclass(frozen=True)
class BenchRun:
    """One bench.

    Attributes:
        id: Its number in the history; 0 where it could not be kept.
        created: Seconds since 1970.
        source: "import" for llama-bench's own files.
        name: What it was called; "" for nothing in particular.
        recorded_facts, records: As they are kept; read when somebody asks, for most runs nobody does.
    """

    id: int
    created: float
    source: Source
    name: str
    recorded_facts: str = "{}"
    records: tuple[str, ...] = ()

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """The machine, the engine's build, conditions, what was asked for: JSON data."""
        return _read_json(self.recorded_facts, json.loads) or {}

    @cached_property
    def rows(self) -> tuple[BenchRow, ...]:
        """The results; those of another version are left out."""
        found = (_read_json(record, _read_row) for record in self.records)
        return tuple(row for row in found if row is not None)

    @cached_property
    def first(self) -> BenchRow | None:
        """The first result, found without reading the others."""
        return _read_json(self.records[0], _read_row) if self.records else None


class BenchHistory:
    """The benches; may be used from any thread, and by several programs at once.

    A file that cannot be written does not end a bench: `begin` and `add` log it. Everything else raises a
    LocalLLMError if the file cannot be read or written.
    """

    def __init__(self, file: Path) -> None:
        self._kept = KeptDatabase(
            file,
            _TABLES,
            ("runs", "rows"),
            text("Another program holds the history of benches."),
            lambda reason: text("The history of benches cannot be read or written: {reason}.", reason=reason),
            (_TIDY,),
        )

    def begin(self, facts: Mapping[str, Any], *, name: str = "") -> int:
        """Open a run; return its number, 0 where it cannot be kept."""
        try:
            return self._kept.do(
                lambda db: _insert_run(db, (None, time.time(), "here", name, json.dumps(facts)))
            )
        except LocalLLMError:
            return 0

    def add(self, run: int, row: BenchRow) -> bool:
        """Keep a result as soon as it is there; return whether it is kept."""
        if not run:
            return False
        try:
            self._kept.do(lambda db: _insert_rows(db, run, [_record_of(row)]))
        except LocalLLMError:
            return False
        return True

    def take_in(self, rows: Iterable[BenchRow], facts: Mapping[str, Any], name: str) -> int:
        """Keep a run that was measured elsewhere, all of it or nothing; return its number."""
        records = [_record_of(row) for row in rows]
        values = (None, time.time(), "import", name, json.dumps(facts))

        def work(db: sqlite3.Connection) -> int:
            number = _insert_run(db, values)
            _insert_rows(db, number, records)
            return number

        return self._kept.do(work)

    def remove(self, run: int) -> None:
        """Forget a run and its results."""
        self._kept.do(lambda db: db.execute("DELETE FROM runs WHERE id = ?", (run,)))

    def put_back(self, run: BenchRun) -> None:
        """Keep a run that was removed, under its number."""
        values = (run.id, run.created, run.source, run.name, run.recorded_facts)

        def work(db: sqlite3.Connection) -> None:
            _insert_run(db, values)
            _insert_rows(db, run.id, run.records)

        self._kept.do(work)

    def runs(self) -> list[BenchRun]:
        """Return every run with its rows, the newest first."""
        return self._load("", ())

    def run(self, number: int) -> BenchRun | None:
        """Return one run with its rows."""
        if not 0 < number <= _LARGEST_NUMBER:
            return None
        found = self._load("WHERE runs.id = ?", (number,))
        return found[0] if found else None

    def _load(self, where: str, values: Sequence[object]) -> list[BenchRun]:
        query = f"""
            SELECT runs.id, created, source, name, facts, record
            FROM runs LEFT JOIN rows ON rows.run = runs.id {where}
            ORDER BY runs.id DESC, rows.id
        """  # noqa: S608 - both ways are written here
        found: list[BenchRun] = []
        for run, several in itertools.groupby(self._kept.read(query, values), key=lambda row: row[:5]):
            number, created, source, name, facts = run
            records = tuple(row[5] for row in several if row[5] is not None)
            found.append(BenchRun(number, created, source, name, facts, records))
        return found


def _insert_run(db: sqlite3.Connection, values: tuple[object, ...]) -> int:
    statement = "INSERT INTO runs (id, created, source, name, facts) VALUES (?, ?, ?, ?, ?)"
    return db.execute(statement, values).lastrowid or 0


def _insert_rows(db: sqlite3.Connection, run: int, records: Iterable[str]) -> None:
    db.executemany("INSERT INTO rows (run, record) VALUES (?, ?)", [(run, record) for record in records])


def _record_of(row: BenchRow) -> str:
    return json.dumps(row.to_record())


def _read_row(words: str) -> BenchRow:
    return BenchRow.from_record(json.loads(words))


def _read_json(words: str, read: Callable[[str], Result]) -> Result | None:
    try:
        return read(words)
    except (TypeError, KeyError, ValueError):
        _log.warning("A bench could not be read", exc_info=True)
        return None
