import sqlite3
from contextlib import closing

import pytest

from localllm.core.disposable_database import open_disposable

SCHEMA = "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS words (word TEXT);"


def kept(file):
    with closing(open_disposable(file, SCHEMA)) as database:
        return database.execute("SELECT word FROM words").fetchall()


def keep(file, word):
    with closing(open_disposable(file, SCHEMA)) as database, database:
        database.execute("INSERT INTO words VALUES (?)", (word,))


def test_what_is_kept_is_there_the_next_time(tmp_path):
    file = tmp_path / "new" / "words.db"
    keep(file, "kept")
    assert kept(file) == [("kept",)]


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"SQLite format 3\0 but not really" * 50])
def test_a_damaged_file_is_begun_anew_without_the_log_of_the_old_one(tmp_path, content, caplog):
    file = tmp_path / "words.db"
    file.write_bytes(content)
    (tmp_path / "words.db-wal").write_bytes(content)
    assert kept(file) == []
    assert "begun anew" in caplog.text
    keep(file, "new")
    assert kept(file) == [("new",)]


def test_a_locked_file_is_not_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setattr("localllm.core.disposable_database._BUSY_SECONDS", 0.0)
    file = tmp_path / "words.db"
    keep(file, "kept")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError):
            keep(file, "more")
        other.execute("ROLLBACK")
    assert kept(file) == [("kept",)]
