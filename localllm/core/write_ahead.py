"""Databases that several programs use at once keep a write-ahead log."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 10.0  # seconds
_PAUSE = 0.02  # seconds


def keep_log(db: sqlite3.Connection) -> None:
    """Let a database keep a write-ahead log; SQLite itself does not wait for programs that do so right now.

    Raises:
        sqlite3.Error: It is no database, or was busy all the time.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a file in a folder that may refuse the files which SQLite wants beside it.

    Raises:
        sqlite3.OperationalError: It cannot be read.
    """
    for how in ("mode=ro", "mode=ro&immutable=1"):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            db.close()
            continue
        return db
    raise sqlite3.OperationalError("it cannot be read")
