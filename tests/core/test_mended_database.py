import sqlite3
from contextlib import closing

import pytest

from localllm.core.mended_database import in_database

SCHEMA = "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS words (word TEXT);"


def kept(file, **more):
    return in_database(file, SCHEMA, lambda db: db.execute("SELECT word FROM words").fetchall(), **more)


def keep(file, word, **more):
    in_database(file, SCHEMA, lambda db: db.execute("INSERT INTO words VALUES (?)", (word,)), **more)


def test_what_is_kept_is_there_the_next_time(tmp_path):
    file = tmp_path / "new" / "words.db"
    keep(file, "kept")
    assert kept(file) == [("kept",)]


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"SQLite format 3\0 but not really" * 50])
def test_a_damaged_file_is_begun_anew_and_kept_beside(tmp_path, content, caplog):
    file = tmp_path / "words.db"
    file.write_bytes(content)
    (tmp_path / "words.db-wal").write_bytes(content)
    assert kept(file) == []
    assert "begun anew" in caplog.text
    keep(file, "new")
    assert kept(file) == [("new",)]
    (aside,) = tmp_path.glob("words.damaged-*.db")
    assert aside.read_bytes() == content


def test_damage_that_shows_while_working_is_mended_and_the_work_done(tmp_path):
    file = tmp_path / "words.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.executescript(SCHEMA)
        db.executemany("INSERT INTO words VALUES (?)", [(f"{number} " + "x" * 500,) for number in range(200)])
    content = bytearray(file.read_bytes())
    content[3 * 4096 : 4 * 4096] = bytes(4096)
    file.write_bytes(content)
    keep(file, "new")  # the first page is sound: nothing is noticed before all is read
    words = [word for (word,) in kept(file, saved=("words",))]
    assert words[-1] == "new"
    assert 190 < len(words) < 201
    assert len(list(tmp_path.glob("words.damaged-*.db"))) == 1


def test_a_locked_file_is_not_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setattr("localllm.core.mended_database._BUSY_SECONDS", 0.0)
    file = tmp_path / "words.db"
    keep(file, "kept")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError):
            keep(file, "more")
        other.execute("ROLLBACK")
    assert kept(file) == [("kept",)]
