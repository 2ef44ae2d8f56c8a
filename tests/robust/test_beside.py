"""Programs beside each other write into every database: nobody is locked out, and nothing is lost."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from localllm.paths import Paths

COUNTS = {
    "messages": ("chats", "SELECT count(*) FROM messages WHERE text LIKE ? || ' %'"),
    "downloads": ("downloads", "SELECT count(*) FROM files WHERE name LIKE ? || '-%'"),
    "benches": ("benches", "SELECT count(*) FROM runs WHERE name = ?"),
    "loads": ("loads", "SELECT count(*) FROM loads WHERE backend = ?"),
    "notes": ("library", "SELECT count(*) FROM marks WHERE path LIKE '/models/' || ? || '-%'"),
}


def write_together(names, seconds):
    """Let so many programs write at once; return how many rows each acknowledged."""
    command = [sys.executable, "-m", "tests.robust.beside_child"]
    programs = [
        subprocess.Popen(
            [*command, name, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    for program in programs:
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        program.stdin.write("go\n")
        program.stdin.flush()
    said = [program.communicate() for program in programs]
    assert [program.returncode for program in programs] == [0] * len(programs)
    return {name: json.loads(out) for name, (out, _) in zip(names, said, strict=True)}


def check_together(seconds):
    data = Paths.for_user().data
    said, rows = write_together(("one", "two"), seconds), 0
    for name, told in said.items():
        assert told["complaints"] == []
        for kind, (file, query) in COUNTS.items():
            with closing(sqlite3.connect(data / f"{file}.db")) as db:
                assert db.execute(query, (name,)).fetchone() == (told["kept"][kind],), kind
                assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
            rows += told["kept"][kind]
    print(f"{rows} rows from two programs in {seconds} s, none lost, nobody locked out")
    assert all(count > 0 for told in said.values() for count in told["kept"].values())


def test_two_programs_write_at_once(home, repository, monkeypatch):
    monkeypatch.chdir(repository)
    check_together(0.5)


@pytest.mark.torture
@pytest.mark.timeout(1200)
def test_two_programs_write_for_ten_minutes(home, repository, monkeypatch):
    monkeypatch.chdir(repository)
    check_together(600)
