"""Opens SQLite files of what was learned once: losing one costs time only, so a damaged one is begun anew."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

_BUSY_SECONDS = 10.0
_BESIDE = ("", "-wal", "-shm", "-journal")


def open_disposable(file: Path, schema: str) -> sqlite3.Connection:
    """Open a file, with its tables; the caller closes the connection.

    Raises:
        sqlite3.Error, OSError: It is locked for long, or the folder cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _open(file, schema)
    except sqlite3.OperationalError:  # locked or read-only: there is nothing wrong with the file
        raise
    except sqlite3.DatabaseError as error:
        _log.warning("“%s” is damaged and begun anew: %s", file.name, error)
        for ending in _BESIDE:
            file.with_name(file.name + ending).unlink(missing_ok=True)
        return _open(file, schema)


def _open(file: Path, schema: str) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=_BUSY_SECONDS)
    try:
        database.executescript(schema)
    except BaseException:
        database.close()
        raise
    return database
