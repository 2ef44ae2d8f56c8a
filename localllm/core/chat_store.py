"""Chats on disk: SQLite in WAL mode, every acknowledged message safe before anything else happens.

A chat is a tree of messages: editing a message or asking for another answer adds a sibling, and
`chats.leaf` says which branch is shown. Streamed text is kept in `pieces` until its message is complete.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import psutil

from localllm.core.chat_schema import migrate
from localllm.engine.protocol import Adapter, Sampling, Stats, from_record, pack_text, to_record, unpack_text
from localllm.errors import StoreError
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

MessageState = Literal["complete", "streaming", "stopped", "failed", "interrupted"]
TRASH_DAYS = 30
_DAY = 86_400  # seconds


_MESSAGE = """
    m.*,
    (SELECT count(*) FROM messages s WHERE s.chat = m.chat AND s.parent IS m.parent) AS versions,
    (SELECT count(*) FROM messages s WHERE s.chat = m.chat AND s.parent IS m.parent AND s.id <= m.id)
        AS version,
    (SELECT group_concat(text, '') FROM
        (SELECT text FROM pieces WHERE message = m.id ORDER BY number)) AS streamed
"""

_BRANCH = f"""
    WITH RECURSIVE branch(id, depth) AS (
        SELECT leaf, 0 FROM chats WHERE id = ? AND leaf IS NOT NULL
        UNION ALL
        SELECT m.parent, depth + 1 FROM branch JOIN messages m ON m.id = branch.id WHERE m.parent IS NOT NULL
    )
    SELECT {_MESSAGE} FROM branch JOIN messages m ON m.id = branch.id ORDER BY depth DESC
"""  # noqa: S608 - both parts are ours


@dataclass(frozen=True)
class ChatSummary:
    """A row of the list of chats; `updated` in seconds since 1970."""

    id: int
    title: str
    updated: float


@dataclass(frozen=True)
class Chat:
    """What belongs to a chat besides its messages; `draft` is what stands unsent in the composer."""

    id: int
    title: str
    system_prompt: str
    sampling: Sampling
    model_path: str | None
    draft: str
    adapters: tuple[Adapter, ...] = ()


@dataclass(frozen=True)
class Message:
    """One message of the branch that is shown.

    Attributes:
        problem: Why it ended early, None if it did not.
        version: Its place among its siblings, from 1.
        versions: How many siblings there are, itself included.
    """

    id: int
    parent_id: int | None
    role: Literal["user", "assistant"]
    text: str
    state: MessageState
    stats: Stats | None
    problem: Text | None
    model: str
    created: float
    version: int = 1
    versions: int = 1


class ChatStore:
    """All chats of a user; may be used from any thread, and by several programs at once.

    Raises, from every method:
        StoreError: The disk is full, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            self._path = path
            self._db.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
                self._db.execute(f"PRAGMA {pragma}")
            migrate(self._db)
        self._finish_interrupted()
        self._empty_old_trash()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def chats(self, *, trash: bool = False) -> list[ChatSummary]:
        """Return the chats, the most recently used first; or those in the trash."""
        condition = "NOT NULL" if trash else "NULL"
        order = "ORDER BY updated DESC, id DESC"
        rows = self._read(f"SELECT id, title, updated FROM chats WHERE deleted IS {condition} {order}")  # noqa: S608
        return [ChatSummary(row["id"], row["title"], row["updated"]) for row in rows]

    def create_chat(self) -> Chat:
        """Make an empty chat; its title comes with the first message."""
        with self._write() as db:
            now = time.time()
            number = db.execute(
                "INSERT INTO chats (title, created, updated, sampling) VALUES ('', ?, ?, ?)",
                (now, now, json.dumps(to_record(Sampling()))),
            ).lastrowid
        return self.chat(cast("int", number))

    def chat(self, chat_id: int) -> Chat:
        """Return one chat, also from the trash."""
        rows = self._read("SELECT * FROM chats WHERE id = ?", chat_id)
        if not rows:
            raise StoreError(text("There is no chat no. {number}.", number=chat_id))
        row = rows[0]
        sampling = from_record(Sampling, json.loads(row["sampling"]))
        adapters = tuple(from_record(Adapter, adapter) for adapter in json.loads(row["adapters"]))
        return Chat(
            row["id"], row["title"], row["system_prompt"], sampling, row["model_path"], row["draft"], adapters
        )

    def rename(self, chat_id: int, title: str) -> None:
        """Give a chat a title."""
        self._set(chat_id, title=title.strip()[:200])

    def set_system_prompt(self, chat_id: int, prompt: str) -> None:
        """Set the instructions that stand before the conversation."""
        self._set(chat_id, system_prompt=prompt)

    def set_sampling(self, chat_id: int, sampling: Sampling) -> None:
        """Set how answers in this chat are sampled."""
        self._set(chat_id, sampling=json.dumps(to_record(sampling)))

    def set_adapters(self, chat_id: int, adapters: Sequence[Adapter]) -> None:
        """Set the LoRA adapters that are laid over the model for this chat."""
        self._set(chat_id, adapters=json.dumps([to_record(adapter) for adapter in adapters]))

    def set_model(self, chat_id: int, path: str) -> None:
        """Remember the model that answered last."""
        self._set(chat_id, model_path=path)

    def set_draft(self, chat_id: int, draft: str) -> None:
        """Keep what stands unsent in the composer."""
        self._set(chat_id, draft=draft)

    def trash(self, chat_id: int) -> None:
        """Put a chat into the trash, where it stays for 30 days."""
        self._set(chat_id, deleted=time.time())

    def restore(self, chat_id: int) -> None:
        """Take a chat out of the trash."""
        self._set(chat_id, deleted=None)

    def messages(self, chat_id: int) -> list[Message]:
        """Return the branch that is shown, oldest first."""
        rows = self._read(_BRANCH, chat_id)
        return [_as_message(row) for row in rows]

    def add_user_message(self, chat_id: int, content: str, parent_id: int | None) -> Message:
        """Save what the user wrote; it is on disk when this returns. The first gives the chat its title."""
        with self._write() as db:
            number = self._insert(db, chat_id, parent=parent_id, role="user", text=content, state="complete")
            db.execute(
                "UPDATE chats SET title = ? WHERE id = ? AND title = ''", (make_title(content), chat_id)
            )
        return self._message(number)

    def begin_answer(self, chat_id: int, parent_id: int, model: str) -> Message:
        """Make the empty answer that streamed text will be added to."""
        with self._write() as db:
            number = self._insert(
                db,
                chat_id,
                parent=parent_id,
                role="assistant",
                text="",
                state="streaming",
                model=model,
                writer=_name_program(psutil.Process()),
            )
        return self._message(number)

    def add_piece(self, message_id: int, piece: str) -> None:
        """Keep streamed text, so that a killed program loses none of it."""
        with self._write() as db:
            db.execute("INSERT INTO pieces (message, text) VALUES (?, ?)", (message_id, piece))

    def end_answer(
        self,
        message_id: int,
        content: str,
        state: MessageState,
        stats: Stats | None,
        problem: Text | None = None,
    ) -> Message:
        """Save a complete answer, or what there is of it."""
        packed = json.dumps(to_record(stats)) if stats else None
        reason = json.dumps(pack_text(problem)) if problem else ""
        with self._write() as db:
            db.execute(
                "UPDATE messages SET text = ?, state = ?, stats = ?, problem = ? WHERE id = ?",
                (content, state, packed, reason, message_id),
            )
            db.execute("DELETE FROM pieces WHERE message = ?", (message_id,))
        return self._message(message_id)

    def switch_version(self, message_id: int, step: int) -> None:
        """Show the sibling so many steps on, with the newest branch below it."""
        with self._write() as db:
            rows = db.execute(
                "SELECT s.id FROM messages s JOIN messages m ON s.chat = m.chat AND s.parent IS m.parent "
                "WHERE m.id = ? ORDER BY s.id",
                (message_id,),
            )
            siblings = [row["id"] for row in rows]
            place = siblings.index(message_id) + step
            if 0 <= place < len(siblings):
                self._show(db, _newest_leaf(db, siblings[place]))

    def _insert(self, db: sqlite3.Connection, chat_id: int, **values: Any) -> int:
        now = time.time()
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        number = db.execute(
            f"INSERT INTO messages (chat, created, {columns}) VALUES (?, ?, {marks})",  # noqa: S608
            (chat_id, now, *values.values()),
        ).lastrowid
        db.execute("UPDATE chats SET leaf = ?, updated = ? WHERE id = ?", (number, now, chat_id))
        return cast("int", number)

    def _show(self, db: sqlite3.Connection, leaf: int) -> None:
        db.execute(
            "UPDATE chats SET leaf = ? WHERE id = (SELECT chat FROM messages WHERE id = ?)", (leaf, leaf)
        )

    def _message(self, message_id: int) -> Message:
        (row,) = self._read(
            f"SELECT {_MESSAGE} FROM messages m WHERE id = ?",  # noqa: S608
            message_id,
        )
        return _as_message(row)

    def _set(self, chat_id: int, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._write() as db:
            db.execute(f"UPDATE chats SET {columns} WHERE id = ?", (*values.values(), chat_id))  # noqa: S608

    def _finish_interrupted(self) -> None:
        """Fold the streamed text of answers whose program was killed; a living one's are left alone."""
        rows = self._read("SELECT id, writer FROM messages WHERE state = 'streaming'")
        for message_id in [row["id"] for row in rows if not _is_alive(row["writer"])]:
            with self._write() as db:
                db.execute(
                    """
                    UPDATE messages SET state = 'interrupted', text = coalesce(
                        (SELECT group_concat(text, '') FROM
                            (SELECT text FROM pieces WHERE message = messages.id ORDER BY number)), '')
                    WHERE id = ?
                    """,
                    (message_id,),
                )
                db.execute("DELETE FROM pieces WHERE message = ?", (message_id,))

    def _empty_old_trash(self) -> None:
        with self._write() as db:
            db.execute("DELETE FROM chats WHERE deleted < ?", (time.time() - TRASH_DAYS * _DAY,))

    def _read(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock, _translated(self._path):
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _write(self) -> Generator[sqlite3.Connection]:
        with self._lock, _translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has rolled back by itself when the disk is full
                    self._db.execute("ROLLBACK")
                raise


def _name_program(process: psutil.Process) -> str:
    """Return a name that no other program ever has: numbers of processes are used again."""
    return f"{process.pid} {process.create_time():.2f}"


def _is_alive(writer: str) -> bool:
    try:
        return _name_program(psutil.Process(int(writer.split(maxsplit=1)[0]))) == writer
    except (psutil.Error, ValueError, IndexError):
        return False


def make_title(content: str) -> str:
    """Return the first words of a message as a title of at most 60 characters."""
    line = " ".join(content.split())
    if len(line) <= 60:
        return line
    return line[:60].rsplit(" ", 1)[0] + "…"


def _newest_leaf(db: sqlite3.Connection, message_id: int) -> int:
    while True:
        child = db.execute("SELECT max(id) FROM messages WHERE parent = ?", (message_id,)).fetchone()[0]
        if child is None:
            return message_id
        message_id = child


def _as_message(row: sqlite3.Row) -> Message:
    stats = from_record(Stats, json.loads(row["stats"])) if row["stats"] else None
    content = row["text"] if row["state"] != "streaming" else (row["streamed"] or "")
    return Message(
        id=row["id"],
        parent_id=row["parent"],
        role=row["role"],
        text=content,
        state=row["state"],
        stats=stats,
        problem=unpack_text(json.loads(row["problem"])) if row["problem"] else None,
        model=row["model"],
        created=row["created"],
        version=row["version"],
        versions=row["versions"],
    )


@contextmanager
def _translated(path: Path) -> Generator[None]:
    """Turn SQLite's errors into sentences."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        full = "full" in str(error)
        message = (
            text("The disk is full.")
            if full
            else text("The chats could not be read or written: {reason}.", reason=str(error))
        )
        raise StoreError(
            message,
            safe=text("What was saved before is safe in “{path}”.", path=str(path)),
            hint=text("Make room on the disk, then try again.")
            if full
            else text("Check that the folder can be written."),
            detail=str(error),
        ) from error
