import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from localllm.core.salvage import salvage
from localllm.core.salvage.pages import Pages
from localllm.core.salvage.rows import leaves, roots, rows_of
from tests.damage import damaged

SCHEMA = """
    CREATE TABLE chapters (id INTEGER PRIMARY KEY, title TEXT NOT NULL);
    CREATE TABLE lines (id INTEGER PRIMARY KEY, chapter INTEGER NOT NULL, text TEXT NOT NULL, weight REAL,
        data BLOB);
    CREATE INDEX by_chapter ON lines (chapter);
"""
TABLES = ("chapters", "lines")


def empty():
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.executescript(SCHEMA)
    return database


def write_book(file, *, log=False):
    """Write 20 chapters of 30 lines; some lines lie on several pages. Returns the rows."""
    dice, writer = random.Random(7), sqlite3.connect(file)
    writer.executescript(f"PRAGMA journal_mode={'WAL' if log else 'DELETE'}; {SCHEMA}")
    with writer:
        for number in range(1, 21):
            writer.execute("INSERT INTO chapters VALUES (?, ?)", (number, f"Capítulo {number} 👩‍💻"))
            for _ in range(30):
                words = "wörter " * dice.choice((1, 10, 100, 3000))
                values = (number, words, dice.choice((None, 1.0, 2.5)), None)
                writer.execute("INSERT INTO lines (chapter, text, weight, data) VALUES (?, ?, ?, ?)", values)
        writer.execute("DELETE FROM lines WHERE id BETWEEN 100 AND 140")
    return writer


def everything(database):
    return {table: set(database.execute(f"SELECT * FROM {table}")) for table in TABLES}


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    file = tmp_path_factory.mktemp("book") / "book.db"
    write_book(file).close()
    return file


def test_all_of_a_sound_file_is_found_and_nothing_that_was_deleted(book):
    with closing(sqlite3.connect(book)) as sound, closing(empty()) as new:
        saved = salvage(book, new, TABLES)
        assert everything(new) == everything(sound)
    assert (dict(saved.rows), saved.cut, saved.total) == ({"chapters": 20, "lines": 559}, 0, 579)


def test_what_only_the_log_has_is_found(tmp_path):
    file = tmp_path / "book.db"
    writer = write_book(file, log=True)
    copy = tmp_path / "copy.db"
    shutil.copy(file, copy)
    shutil.copy(tmp_path / "book.db-wal", tmp_path / "copy.db-wal")
    with closing(writer), closing(empty()) as new:
        salvage(copy, new, TABLES)
        assert everything(new) == everything(writer)


def test_of_a_log_that_is_cut_off_only_what_was_committed_counts(tmp_path):
    file, copy = tmp_path / "book.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.executescript(f"PRAGMA journal_mode=WAL; {SCHEMA}")
        for number in range(1, 11):
            writer.execute("INSERT INTO chapters VALUES (?, ?)", (number, "x" * 3000))
        log = (tmp_path / "book.db-wal").read_bytes()
        shutil.copy(file, copy)
    (tmp_path / "copy.db-wal").write_bytes(log[:-2000])
    with closing(empty()) as new:
        salvage(copy, new, TABLES)
        assert [number for number, _ in sorted(everything(new)["chapters"])] == list(range(1, 10))


def test_rows_are_found_where_the_head_and_the_list_of_tables_are_lost(book, tmp_path):
    file = tmp_path / "headless.db"
    file.write_bytes(bytes(4096) + book.read_bytes()[4096:])
    with closing(sqlite3.connect(book)) as sound, closing(empty()) as new:
        salvage(file, new, TABLES)
        found = everything(new)
        assert all(found[table] >= rows for table, rows in everything(sound).items())


def test_a_row_that_has_lost_a_page_keeps_the_rest(tmp_path):
    file = tmp_path / "book.db"
    with closing(sqlite3.connect(file)) as writer, writer:
        writer.executescript(SCHEMA)
        writer.execute("INSERT INTO chapters VALUES (1, ?)", ("a" * 20_000,))
    content = file.read_bytes()
    file.write_bytes(content[:-4096])
    with closing(empty()) as new:
        saved = salvage(file, new, TABLES)
        (title,) = new.execute("SELECT title FROM chapters").fetchone()
    assert saved.cut == 1
    assert 10_000 < len(title) < 20_000
    assert set(title) == {"a"}


class _Recorder(Pages):
    """Remembers which pages were read."""

    def __init__(self, path):
        self.seen = set()
        super().__init__(path)

    def read(self, number):
        self.seen.add(number)
        return super().read(number)


def pages_of_rows(file):
    """Return, for each row by table and number, the pages on which it lies."""
    found = {}
    with _Recorder(file) as pages:
        for table, root in roots(pages).items():
            for leaf in list(leaves(pages, root)) if table in TABLES else ():
                pages.seen = {leaf}
                for row in rows_of(pages, leaf):
                    found[table, row.number] = frozenset(pages.seen)
                    pages.seen = {leaf}
    return found


def check_damages(book, folder, seeds):
    """Damage the file in many ways and return how many rows lay on sound pages, and were saved as they were."""
    sound, where = book.read_bytes(), pages_of_rows(book)
    with closing(sqlite3.connect(book)) as database:
        rows = {(table, row[0]): row for table, all_ in everything(database).items() for row in all_}
    assert rows.keys() == where.keys()
    wanted = saved = 0
    for seed in seeds:
        content, touched, _kind = damaged(sound, seed)
        file = folder / "damaged.db"
        file.write_bytes(content)
        safe = {key for key, pages in where.items() if not pages & touched}
        with closing(empty()) as new:
            salvage(file, new, TABLES)
            found = {(table, row[0]): row for table, all_ in everything(new).items() for row in all_}
        assert file.read_bytes() == content
        wanted += len(safe)
        saved += sum(found.get(key) == rows[key] for key in safe)
    return wanted, saved


def test_rows_on_sound_pages_are_saved(book, tmp_path):
    wanted, saved = check_damages(book, tmp_path, range(9))
    assert saved >= 0.99 * wanted > 0


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_rows_on_sound_pages_are_saved_from_a_thousand_damages(book, tmp_path):
    wanted, saved = check_damages(book, tmp_path, range(1000))
    print(f"{saved} of {wanted} rows on sound pages were saved")
    assert saved >= 0.99 * wanted > 0
