"""Saves what can be read of damaged chats into a new file, in which every message has a chat and a place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.chat_schema import migrate
from localllm.core.mended_database import BESIDE
from localllm.core.salvage import salvage
from localllm.errors import StoreError
from localllm.files import move_into_place, set_aside
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

_TABLES = ("chats", "messages", "pieces")
_MEND = (
    """
    INSERT INTO chats (id, title, created, updated, sampling)
    SELECT chat, substr(min(text), 1, 60), min(created), max(created), '{}' FROM messages
    WHERE chat NOT IN (SELECT id FROM chats) GROUP BY chat
    """,
    """
    UPDATE messages SET parent =
        (SELECT max(b.id) FROM messages b WHERE b.chat = messages.chat AND b.id < messages.id)
    WHERE parent IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM messages p
         WHERE p.id = messages.parent AND p.chat = messages.chat AND p.id < messages.id)
    """,
    """
    UPDATE chats SET leaf = (SELECT max(id) FROM messages WHERE chat = chats.id)
    WHERE leaf IS NULL OR NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = leaf AND m.chat = chats.id)
    """,
    "DELETE FROM pieces WHERE message NOT IN (SELECT id FROM messages)",
)


@dataclass(frozen=True)
class Contents:
    """How much a file of chats holds, the trash included."""

    chats: int
    messages: int


@dataclass(frozen=True)
class Rescue:
    """What was saved.

    Attributes:
        file: The new file; it waits beside the damaged one for `put_in_place`.
        cut: Chats, messages and pieces of which a part is lost.
    """

    file: Path
    contents: Contents
    cut: int


def rescue(chats: Path) -> Rescue:
    """Save what can be read of a damaged file; the file itself is only read.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    new = chats.with_name(f".{chats.name}.saved")
    try:
        for ending in BESIDE:
            new.with_name(new.name + ending).unlink(missing_ok=True)
        with closing(sqlite3.connect(new, isolation_level=None)) as db:
            migrate(db)
            found = salvage(chats, db, _TABLES)
            for statement in _MEND:
                db.execute(statement)
            return Rescue(new, count(db), found.cut)
    except (OSError, sqlite3.Error) as error:
        new.unlink(missing_ok=True)
        raise StoreError(
            text("What can be read of the chats could not be saved: {reason}.", reason=str(error)),
            safe=text("The damaged file “{path}” is as it was.", path=str(chats)),
            hint=text("Make room on the disk, and check that the folder can be written."),
            detail=str(error),
        ) from error


def put_in_place(chats: Path, new: Path) -> Path:
    """Give the new file the name of the damaged one, which is kept; return the damaged one's new path.

    Raises:
        OSError: The folder cannot be written.
    """
    aside = set_aside(chats, "damaged", BESIDE)
    move_into_place(new, chats)
    return aside


def count(db: sqlite3.Connection) -> Contents:
    """Return how much an open file holds."""
    chats, messages = (
        db.execute(f"SELECT count(*) FROM {table} NOT INDEXED").fetchone()[0]  # noqa: S608 - ours
        for table in ("chats", "messages")
    )
    return Contents(chats, messages)
