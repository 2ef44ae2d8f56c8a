"""The tables of the chats, and how older files are brought up to date: numbered functions, never changed."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from localllm.errors import NewerStore
from localllm.texts import text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable


def _version_1(db: sqlite3.Connection) -> None:
    db.execute(
        """
        CREATE TABLE chats (
            id INTEGER PRIMARY KEY,
            title TEXT NOT NULL,
            system_prompt TEXT NOT NULL DEFAULT '',
            sampling TEXT NOT NULL,
            model_path TEXT,
            draft TEXT NOT NULL DEFAULT '',
            leaf INTEGER,
            created REAL NOT NULL,
            updated REAL NOT NULL,
            deleted REAL
        )
        """
    )
    db.execute(
        """
        CREATE TABLE messages (
            id INTEGER PRIMARY KEY,
            chat INTEGER NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
            parent INTEGER REFERENCES messages(id) ON DELETE CASCADE,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
            text TEXT NOT NULL,
            state TEXT NOT NULL,
            stats TEXT,
            problem TEXT NOT NULL DEFAULT '',
            model TEXT NOT NULL DEFAULT '',
            writer TEXT NOT NULL DEFAULT '',
            created REAL NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX messages_by_parent ON messages (chat, parent)")
    db.execute("CREATE INDEX messages_parent ON messages (parent)")
    db.execute(
        """
        CREATE TABLE pieces (
            number INTEGER PRIMARY KEY,
            message INTEGER NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
            text TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX pieces_message ON pieces (message)")


def _version_2(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE chats ADD COLUMN adapters TEXT NOT NULL DEFAULT '[]'")


def _version_3(db: sqlite3.Connection) -> None:
    """Keep of the sampling what a person chose: what is as it came can follow the settings."""
    usual: dict[str, object] = {
        "temperature": 0.8,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0.05,
        "repeat_penalty": 1.0,
        "repeat_last_n": 64,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": -1,
        "max_tokens": -1,
        "stop": [],
    }
    for number, packed in db.execute("SELECT id, sampling FROM chats").fetchall():
        chosen: dict[str, object] = {}
        with contextlib.suppress(ValueError, AttributeError):  # damaged: the chat is worth more than this
            chosen = {name: value for name, value in json.loads(packed).items() if value != usual.get(name)}
        db.execute("UPDATE chats SET sampling = ? WHERE id = ?", (json.dumps(chosen), number))


def _version_4(db: sqlite3.Connection) -> None:
    """Let a chat want no system prompt at all, where an empty one follows the settings."""
    db.execute("ALTER TABLE chats ADD COLUMN promptless INTEGER NOT NULL DEFAULT 0")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _version_1,
    _version_2,
    _version_3,
    _version_4,
)


def migrate(db: sqlite3.Connection) -> None:
    """Bring the tables to the newest version, each step whole or not at all.

    Raises:
        NewerStore: The file comes from a newer LocalLLM.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _known_version(db)
        for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
            step(db)
            db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _known_version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise NewerStore(
            text("The chats were written by a newer LocalLLM."),
            hint=text("Update LocalLLM, then start it again."),
        )
    return version
