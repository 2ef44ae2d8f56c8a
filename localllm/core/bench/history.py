"""Every bench of this computer, and imported ones, with what is needed to repeat it; one SQLite file."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from dataclasses import dataclass, field
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
    PRAGMA journal_mode=WAL;
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
        facts: The machine, the engine's build, conditions, what was asked for: JSON data.
    """

    id: int
    created: float
    source: Source
    name: str
    facts: Mapping[str, Any]
    rows: tuple[BenchRow, ...] = field(default=())


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
        values = (run.id, run.created, run.source, run.name, json.dumps(dict(run.facts)))
        self._write("INSERT INTO runs (id, created, source, name, facts) VALUES (?, ?, ?, ?, ?)", values)
        for row in run.rows:
            self.add(run.id, row)

    def runs(self) -> list[BenchRun]:
        """Return every run with its rows, the newest first."""
        return self._load("SELECT id, created, source, name, facts FROM runs ORDER BY id DESC")

    def run(self, number: int) -> BenchRun | None:
        """Return one run with its rows."""
        found = self._load("SELECT id, created, source, name, facts FROM runs WHERE id = ?", number)
        return found[0] if found else None

    def _load(self, query: str, *values: object) -> list[BenchRun]:
        found: list[BenchRun] = []
        for number, created, source, name, facts in self._read(query, *values):
            records = self._read("SELECT record FROM rows WHERE run = ? ORDER BY id", number)
            try:
                rows = tuple(BenchRow.from_record(json.loads(record)) for (record,) in records)
                found.append(BenchRun(number, created, source, name, json.loads(facts), rows))
            except (TypeError, KeyError, ValueError):  # of another version
                _log.warning("A bench could not be read", exc_info=True)
        return found

    def _write(self, statement: str, values: Sequence[object]) -> int:
        try:
            return self._do(lambda db: db.execute(statement, values).lastrowid or 0)
        except (OSError, sqlite3.Error):
            _log.warning("A bench could not be kept", exc_info=True)
            return 0

    def _read(self, query: str, *values: object) -> list[Any]:
        if not self._file.exists():
            return []
        try:
            return self._do(lambda db: db.execute(query, values).fetchall())
        except (OSError, sqlite3.Error):
            _log.warning("The benches could not be read", exc_info=True)
            return []

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with self._lock:
            return in_database(self._file, _TABLES, work, saved=("runs", "rows"), tidied=(_TIDY,))
