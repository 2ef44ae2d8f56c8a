"""Opens small SQLite files for one piece of work each; a damaged one is kept beside, and made anew.

What a person had measured is saved from it; what this computer learns again by itself is not looked for.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from localllm.core.salvage import is_damage, salvage
from localllm.core.write_ahead import keep_log
from localllm.files import file_number, held_if_still, move_into_place, set_aside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

_BUSY_SECONDS = 10.0
BESIDE = ("", "-wal", "-shm", "-journal")  # the file itself, and what SQLite lays beside it


def in_database(
    file: Path,
    schema: str,
    work: Callable[[sqlite3.Connection], Result],
    *,
    saved: Sequence[str] = (),
    tidied: Sequence[str] = (),
    shared: bool = False,
) -> Result:
    """Do some work in one transaction; once more if the file was found damaged and was made anew.

    Args:
        file: Made, with its folder, if it is not there.
        schema: Statements that make the tables where they are missing.
        work: Is given the open file.
        saved: Tables whose rows are saved from a damaged file.
        tidied: Statements that then put in order what has lost its counterpart.
        shared: Whether it keeps a write-ahead log, for programs that use it at once.

    Raises:
        sqlite3.Error, OSError: It is locked for long, or the folder cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    number = file_number(file)
    try:
        return _do(file, schema, work, shared=shared)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        _log.warning("“%s” is damaged: %s", file.name, error)
    with held_if_still(file, number) as still:
        if still:
            _make_anew(file, schema, saved, tidied)
    return _do(file, schema, work, shared=shared)


def _do(file: Path, schema: str, work: Callable[[sqlite3.Connection], Result], *, shared: bool) -> Result:
    with closing(sqlite3.connect(file, timeout=_BUSY_SECONDS)) as database:
        if shared:
            keep_log(database)
        database.executescript(schema)
        with database:
            return work(database)


def _make_anew(file: Path, schema: str, saved: Sequence[str], tidied: Sequence[str]) -> None:
    """Make the new file whole before the old one loses its name."""
    new = file.with_name(f".{file.name}.new")
    for ending in BESIDE:
        new.with_name(new.name + ending).unlink(missing_ok=True)
    with closing(sqlite3.connect(new, isolation_level=None)) as database:
        database.executescript(schema)
        rows = salvage(file, database, saved).total if saved else 0
        for statement in tidied:
            database.execute(statement)
    aside = set_aside(file, "damaged", BESIDE)
    move_into_place(new, file)
    _log.warning("“%s” was kept as “%s” and begun anew; rows saved: %d", file.name, aside.name, rows)
