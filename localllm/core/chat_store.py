"""Chats on disk: SQLite in WAL mode, every acknowledged message safe before anything else happens.

A chat is a tree of messages: editing a message or asking for another answer adds a sibling, and
`chats.leaf` says which branch is shown. Streamed text is kept in `pieces` until its message is complete.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from localllm.core.chat_file import ChatFile
from localllm.core.chat_rows import Chat, ChatSummary, Message, MessageState, as_chat, as_message, as_summary
from localllm.core.clock import FIRST_RELEASE
from localllm.core.running import is_alive, name_of_this_program
from localllm.engine.protocol import Sampling, pack_text, to_record
from localllm.errors import StoreError
from localllm.texts import text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from localllm.engine.protocol import Adapter, Stats
    from localllm.texts import Text

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
        SELECT m.parent, depth + 1 FROM branch JOIN messages m ON m.id = branch.id WHERE m.parent < m.id
    )
    SELECT {_MESSAGE} FROM branch JOIN messages m ON m.id = branch.id ORDER BY depth DESC
"""  # noqa: S608 - both parts are ours


@dataclass(frozen=True)
class _End:
    """How an answer ended, as long as the disk has refused it."""

    text: str
    state: MessageState
    stats: Stats | None
    problem: Text | None

    def as_row(self) -> tuple[str, str, str | None, str]:
        """Return text, state, stats and problem as they lie in the file."""
        packed = json.dumps(to_record(self.stats)) if self.stats else None
        return self.text, self.state, packed, json.dumps(pack_text(self.problem)) if self.problem else ""


class ChatStore:
    """All chats of a user; may be used from any thread, and by several programs at once.

    Raises, from every method:
        StoreError: The disk is full, or the file is damaged.
    """

    def __init__(
        self, path: Path, *, unsaved: StoreError | None = None, trash_days: int = TRASH_DAYS
    ) -> None:
        """Open the chats; with a reason why they cannot be saved they live in memory."""
        self.file = ChatFile(path, unsaved=unsaved)
        self._unkept: dict[int, _End] = {}  # ends of answers, by their numbers
        self._finish_interrupted()
        self.trash_days = trash_days
        self._empty_old_trash()

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(StoreError):
            self._keep_ends()
        self.file.close()

    def chats(self, *, trash: bool = False) -> list[ChatSummary]:
        """Return the chats, the most recently used first; or those in the trash."""
        condition = "NOT NULL" if trash else "NULL"
        order = "ORDER BY updated DESC, id DESC"
        query = f"SELECT id, title, updated FROM chats WHERE deleted IS {condition} {order}"  # noqa: S608
        return self.file.read(as_summary, query)

    def create_chat(self) -> Chat:
        """Make an empty chat; its title comes with the first message."""
        with self.file.writing() as db:
            now = time.time()
            number = db.execute(
                "INSERT INTO chats (title, created, updated, sampling) VALUES ('', ?, ?, ?)",
                (now, now, "{}"),
            ).lastrowid
        return self.chat(cast("int", number))

    def chat(self, chat_id: int) -> Chat:
        """Return one chat, also from the trash."""
        found = self.file.read(as_chat, "SELECT * FROM chats WHERE id = ?", chat_id)
        if not found:
            raise StoreError(text("There is no chat no. {number}.", number=chat_id))
        return found[0]

    def rename(self, chat_id: int, title: str) -> None:
        """Give a chat a title."""
        self._set(chat_id, title=title.strip()[:200])

    def set_system_prompt(self, chat_id: int, prompt: str) -> None:
        """Set the instructions that stand before the conversation."""
        self._set(chat_id, system_prompt=prompt)

    def set_promptless(self, chat_id: int, *, promptless: bool) -> None:
        """Set whether no instructions stand before the conversation, not even those of the settings."""
        self._set(chat_id, promptless=int(promptless))

    def set_sampling(self, chat_id: int, chosen: Sampling | Mapping[str, object]) -> None:
        """Set how answers in this chat are sampled: all of it, or what is to differ from the settings."""
        record = to_record(chosen) if isinstance(chosen, Sampling) else dict(chosen)
        self._set(chat_id, sampling=json.dumps(record))

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
        """Put a chat into the trash, where it stays for some days."""
        self._set(chat_id, deleted=time.time())

    def restore(self, chat_id: int) -> None:
        """Take a chat out of the trash."""
        self._set(chat_id, deleted=None)

    def messages(self, chat_id: int) -> list[Message]:
        """Return the branch that is shown, oldest first."""
        with contextlib.suppress(StoreError):  # the disk may refuse what is new, and give what it has
            self._keep_ends()
        return [self._with_end(message) for message in self.file.read(as_message, _BRANCH, chat_id)]

    def add_user_message(self, chat_id: int, content: str, parent_id: int | None) -> Message:
        """Save what the user wrote; it is on disk when this returns. The first gives the chat its title."""
        with self.file.writing() as db:
            number = self._insert(db, chat_id, parent=parent_id, role="user", text=content, state="complete")
            db.execute(
                "UPDATE chats SET title = ? WHERE id = ? AND title = ''", (make_title(content), chat_id)
            )
        return self._message(number)

    def begin_answer(self, chat_id: int, parent_id: int, model: str) -> Message:
        """Make the empty answer that streamed text will be added to."""
        with self.file.writing() as db:
            number = self._insert(
                db,
                chat_id,
                parent=parent_id,
                role="assistant",
                text="",
                state="streaming",
                model=model,
                writer=name_of_this_program(),
            )
        return self._message(number)

    def add_piece(self, message_id: int, piece: str) -> None:
        """Keep streamed text, so that a killed program loses none of it."""
        with self.file.writing() as db:
            db.execute("INSERT INTO pieces (message, text) VALUES (?, ?)", (message_id, piece))

    def end_answer(
        self,
        message_id: int,
        content: str,
        state: MessageState,
        stats: Stats | None,
        problem: Text | None = None,
    ) -> Message:
        """Save a complete answer, or what there is of it; while the disk refuses, it is tried again later."""
        self._unkept[message_id] = _End(content, state, stats, problem)
        self._keep_ends()
        return self._message(message_id)

    def switch_version(self, message_id: int, step: int) -> None:
        """Show the sibling so many steps on, with the newest branch below it."""
        with self.file.writing() as db:
            rows = db.execute(
                "SELECT s.id FROM messages s JOIN messages m ON s.chat = m.chat AND s.parent IS m.parent "
                "WHERE m.id = ? ORDER BY s.id",
                (message_id,),
            )
            siblings = [row["id"] for row in rows]
            if message_id not in siblings:
                raise _no_message()
            place = siblings.index(message_id) + step
            if 0 <= place < len(siblings):
                self._show(db, _newest_leaf(db, siblings[place]))

    def _keep_ends(self) -> None:
        for message_id, end in list(self._unkept.items()):
            with self.file.writing() as db:
                db.execute(
                    "UPDATE messages SET text = ?, state = ?, stats = ?, problem = ? WHERE id = ?",
                    (*end.as_row(), message_id),
                )
                db.execute("DELETE FROM pieces WHERE message = ?", (message_id,))
            self._unkept.pop(message_id, None)

    def _with_end(self, message: Message) -> Message:
        end = self._unkept.get(message.id)
        if end is None:
            return message
        return replace(message, text=end.text, state=end.state, stats=end.stats, problem=end.problem)

    def _insert(self, db: sqlite3.Connection, chat_id: int, **values: Any) -> int:
        now = time.time()
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        number = db.execute(
            f"INSERT INTO messages (chat, created, {columns}) VALUES (?, ?, {marks})",  # noqa: S608
            (chat_id, now, *values.values()),
        ).lastrowid
        newest = db.execute("SELECT max(updated) FROM chats WHERE id != ?", (chat_id,)).fetchone()[0] or 0.0
        moment = max(now, newest + 0.001)  # a clock that was set back does not change the order of the chats
        db.execute("UPDATE chats SET leaf = ?, updated = ? WHERE id = ?", (number, moment, chat_id))
        return cast("int", number)

    def _show(self, db: sqlite3.Connection, leaf: int) -> None:
        db.execute(
            "UPDATE chats SET leaf = ? WHERE id = (SELECT chat FROM messages WHERE id = ?)", (leaf, leaf)
        )

    def _message(self, message_id: int) -> Message:
        query = f"SELECT {_MESSAGE} FROM messages m WHERE id = ?"  # noqa: S608
        found = self.file.read(as_message, query, message_id)
        if not found:
            raise _no_message()
        return found[0]

    def _set(self, chat_id: int, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self.file.writing() as db:
            db.execute(f"UPDATE chats SET {columns} WHERE id = ?", (*values.values(), chat_id))  # noqa: S608

    def _finish_interrupted(self) -> None:
        """Fold the streamed text of answers whose program was killed; a living one's are left alone."""
        rows = self.file.rows("SELECT id, writer FROM messages WHERE state = 'streaming'")
        for message_id in [row["id"] for row in rows if not is_alive(row["writer"])]:
            with self.file.writing() as db:
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
        now = time.time()
        with self.file.writing() as db:
            db.execute("UPDATE chats SET deleted = ? WHERE deleted < ?", (now, FIRST_RELEASE))
            db.execute("DELETE FROM chats WHERE deleted < ?", (now - self.trash_days * _DAY,))


def make_title(content: str) -> str:
    """Return the first words of a message as a title of at most 60 characters."""
    line = " ".join(content.split())
    if len(line) <= 60:
        return line
    return line[:60].rsplit(" ", 1)[0] + "…"


def _no_message() -> StoreError:
    """Return the error for a message that went meanwhile, as when a backup takes the place of the chats."""
    return StoreError(text("This message is no longer in the chat."))


def _newest_leaf(db: sqlite3.Connection, message_id: int) -> int:
    while True:
        child = db.execute(
            "SELECT max(id) FROM messages WHERE parent = ? AND id > parent", (message_id,)
        ).fetchone()[0]
        if child is None:
            return message_id
        message_id = child
