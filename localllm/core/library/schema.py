"""The tables of the library's index, and how older files are brought up to date.

`models`, `details`, `hashes` and `provenance` can be found again from the files; `marks`, `profiles` and
`links` are what a person made, and are kept by path, apart from whether the file is there now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.errors import StoreError
from localllm.texts import text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

_VERSION_1 = (
    """
    CREATE TABLE models (
        path TEXT PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, signature TEXT NOT NULL,
        size INTEGER NOT NULL, files INTEGER NOT NULL, kind TEXT NOT NULL,
        architecture TEXT NOT NULL DEFAULT '',
        quant TEXT NOT NULL DEFAULT '', bits_per_weight REAL, parameters INTEGER, trained_context INTEGER,
        layers INTEGER, template_hash TEXT NOT NULL DEFAULT '', problem TEXT,
        state TEXT NOT NULL DEFAULT 'unchecked', sha256 TEXT NOT NULL DEFAULT '',
        found REAL NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE TABLE details (path TEXT PRIMARY KEY, parts TEXT NOT NULL, facts TEXT) WITHOUT ROWID",
    """
    CREATE TABLE hashes (
        path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL,
        checked REAL NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE provenance (
        path TEXT PRIMARY KEY, repo TEXT NOT NULL, revision TEXT NOT NULL, file TEXT NOT NULL,
        sha256 TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE marks (
        path TEXT PRIMARY KEY, notes TEXT NOT NULL DEFAULT '', favourite INTEGER NOT NULL DEFAULT 0,
        last_used REAL NOT NULL DEFAULT 0, default_profile TEXT NOT NULL DEFAULT '',
        hidden INTEGER NOT NULL DEFAULT 0, added INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE profiles (
        path TEXT NOT NULL, name TEXT NOT NULL, profile TEXT NOT NULL, PRIMARY KEY (path, name)
    )
    """,
    """
    CREATE TABLE links (
        path TEXT PRIMARY KEY, twin TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
        mtime_ns INTEGER NOT NULL, mode INTEGER NOT NULL, how TEXT NOT NULL, made REAL NOT NULL
    )
    """,
)
PERSON_MADE = ("marks", "profiles", "links")


def _version_1(db: sqlite3.Connection) -> None:
    for statement in _VERSION_1:
        db.execute(statement)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_version_1,)


def migrate(db: sqlite3.Connection) -> None:
    """Bring the tables to the newest version, within the transaction that the caller began.

    Raises:
        StoreError: The file comes from a newer LocalLLM.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreError(
            text("The list of models was written by a newer LocalLLM."),
            safe=text("Your models are untouched."),
            hint=text("Update LocalLLM, then start it again."),
        )
    for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
        step(db)
        db.execute(f"PRAGMA user_version = {number}")
