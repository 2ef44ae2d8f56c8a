"""Tells a damaged SQLite file from a lock, a full disk, a folder without rights."""

from __future__ import annotations

import json
import sqlite3

_CORRUPT, _NOT_A_DATABASE, _SHORT_READ = 11, 26, 522  # SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_IOERR_SHORT_READ
_WORDS = (
    "malformed",
    "no such table",
    "no such column",
    "has no column",
    "values were supplied",
    "already exists",
    "could not decode",
    "unsupported file format",
)


def is_damage(error: Exception) -> bool:
    """Whether the file's content is wrong, rather than the moment or the disk."""
    if isinstance(error, (UnicodeDecodeError, json.JSONDecodeError)):
        return True
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", 0)
    words = str(error).lower()
    return (
        code & 0xFF in (_CORRUPT, _NOT_A_DATABASE)
        or code == _SHORT_READ
        or any(word in words for word in _WORDS)
    )
