"""Every bench of this computer, and imported ones, with what is needed to repeat it; one SQLite file."""

from __future__ import annotations

import itertools
import json
import logging
import sqlite3
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from localllm.core.bench.rows import BenchRow
from localllm.core.mended_database import in_database

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

Source = Literal["here", "import"]
Result = TypeVar("Result")
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


class BenchHistory:
    """The benches; may be used from any thread, and by several programs at once.

    A file that cannot be read or written costs the memory of benches only: that is logged, not raised.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def begin(self, facts: Mapping[str, Any], *, source: Source = "here", name: str = "") -> int:
        """Open a run; return its number, 0 where it cannot be kept."""
        values = (time.time(), source, name, json.dumps(facts))
        return self._write("INSERT INTO runs (created, source, name, facts) VALUES (?, ?, ?, ?)", values)

    def add(self, run: int, row: BenchRow) -> None:
        """Keep a result as soon as it is there."""
        if run:
            self._write("INSERT INTO rows (run, record) VALUES (?, ?)", (run, json.dumps(row.to_record())))

    def remove(self, run: int) -> None:
        """Forget a run and its results."""
        self._write("DELETE FROM runs WHERE id = ?", (run,))

    def put_back(self, run: BenchRun) -> None:
        """Keep a run that was removed, under its number."""
        values = (run.id, run.created, run.source, run.name, run.recorded_facts)
        self._write("INSERT INTO runs (id, created, source, name, facts) VALUES (?, ?, ?, ?, ?)", values)
        for record in run.records:
            self._write("INSERT INTO rows (run, record) VALUES (?, ?)", (run.id, record))

    def runs(self) -> list[BenchRun]:
        """Return every run with its rows, the newest first."""
        return self._load("", ())

    def run(self, number: int) -> BenchRun | None:
        """Return one run with its rows."""
        found = self._load("WHERE runs.id = ?", (number,))
        return found[0] if found else None

    def _load(self, where: str, values: Sequence[object]) -> list[BenchRun]:
        query = f"""
            SELECT runs.id, created, source, name, facts, record
            FROM runs LEFT JOIN rows ON rows.run = runs.id {where}
            ORDER BY runs.id DESC, rows.id
        """  # noqa: S608 - both ways are written here
        found: list[BenchRun] = []
        for run, several in itertools.groupby(self._read(query, values), key=lambda row: row[:5]):
            number, created, source, name, facts = run
            records = tuple(row[5] for row in several if row[5] is not None)
            found.append(BenchRun(number, created, source, name, facts, records))
        return found

    def _write(self, statement: str, values: Sequence[object]) -> int:
        try:
            return self._do(lambda db: db.execute(statement, values).lastrowid or 0)
        except (OSError, sqlite3.Error):
            _log.warning("A bench could not be kept", exc_info=True)
            return 0

    def _read(self, query: str, values: Sequence[object]) -> list[Any]:
        if not self._file.exists():
            return []
        try:
            return self._do(lambda db: db.execute(query, values).fetchall())
        except (OSError, sqlite3.Error):
            _log.warning("The benches could not be read", exc_info=True)
            return []

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with self._lock:
            return in_database(
                self._file, _TABLES, work, saved=("runs", "rows"), tidied=(_TIDY,), shared=True
            )


def _read_row(words: str) -> BenchRow:
    return BenchRow.from_record(json.loads(words))


def _read_json(words: str, read: Callable[[str], Result]) -> Result | None:
    try:
        return read(words)
    except (TypeError, KeyError, ValueError):
        _log.warning("A bench could not be read", exc_info=True)
        return None
