"""A database that another program holds, for which nobody waits."""

import sqlite3
from contextlib import closing, contextmanager

from localllm.core import mended_database, write_ahead


@contextmanager
def held_by_another(file, monkeypatch):
    """Hold a database as another program does that writes without end."""
    monkeypatch.setattr(mended_database, "_BUSY_SECONDS", 0.0)
    monkeypatch.setattr(write_ahead, "_PATIENCE", 0.0)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield
