"""The queue of downloads on disk: SQLite, shared by every program of this user."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from localllm.core.downloads.records import Download, Request
from localllm.core.hub.records import RemoteFile
from localllm.core.mended_database import BESIDE
from localllm.core.salvage import is_damage, salvage
from localllm.core.write_ahead import keep_log
from localllm.engine.protocol import pack_text, unpack_text
from localllm.errors import StoreError
from localllm.files import file_number, held_if_still, move_into_place, set_aside
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from localllm.core.downloads.records import State, Wish
    from localllm.texts import Text

_VERSION = 1
_SCHEMA = """
    CREATE TABLE downloads (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, title TEXT NOT NULL, repo TEXT NOT NULL,
        commit_id TEXT NOT NULL, folder TEXT NOT NULL, replace_files INTEGER NOT NULL,
        state TEXT NOT NULL, wish TEXT NOT NULL, position REAL NOT NULL, done INTEGER NOT NULL DEFAULT 0,
        speed REAL NOT NULL DEFAULT 0, note TEXT, added REAL NOT NULL);
    CREATE TABLE files (
        download INTEGER NOT NULL REFERENCES downloads(id) ON DELETE CASCADE, number INTEGER NOT NULL,
        name TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT, xet INTEGER NOT NULL,
        PRIMARY KEY (download, number));
    CREATE TABLE folders (folder TEXT PRIMARY KEY);
"""
_MEND = (  # an entry whose files are not all known cannot go on
    "DELETE FROM files WHERE download NOT IN (SELECT id FROM downloads)",
    """
    DELETE FROM downloads WHERE state NOT IN ('queued', 'running', 'paused', 'failed', 'done')
    OR wish NOT IN ('run', 'pause', 'cancel')
    OR NOT EXISTS (SELECT 1 FROM files f WHERE f.download = downloads.id
        GROUP BY f.download HAVING count(*) = max(f.number) + 1)
    """,
    "DELETE FROM files WHERE download NOT IN (SELECT id FROM downloads)",
)


class DownloadStore:
    """All entries of the queue; may be used from any thread, and by several programs at once.

    A damaged file is kept as `downloads.damaged-<time>.db` beside a new one with what can be read of it.

    Raises, from every method:
        StoreError: The disk is full, the file cannot be used, or it comes from a newer LocalLLM.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._path = path
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            number = file_number(path)
            try:
                self._db = self._open()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if not is_damage(error):  # locked, or no space
                    raise
                self._db = self._mend(number)
            self._number = file_number(path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def add(self, request: Request) -> Download:
        """Put a request at the end of the queue; one that is there already is returned instead."""
        with self._write() as db:
            if (found := self.find(request)) is not None:
                return found
            last = db.execute("SELECT coalesce(max(position), 0) FROM downloads").fetchone()[0]
            number = _insert(db, Download(0, uuid.uuid4().hex, request, "queued", "run", last + 1))
        return cast("Download", self.get(number))

    def put_back(self, removed: Sequence[Download]) -> None:
        """List entries again that were removed, in their places."""
        with self._write() as db:
            for entry in removed:
                _insert(db, entry)

    def find(self, request: Request) -> Download | None:
        """Return the unfinished entry of the same files into the same folder."""
        with self._read():
            same_version = self._select(
                "state != 'done' AND wish != 'cancel' AND repo = ? AND commit_id = ?",
                request.repo,
                request.commit,
            )
        wanted = (request.files, request.folder)
        return next((d for d in same_version if (d.request.files, d.request.folder) == wanted), None)

    def all(self) -> list[Download]:
        """Return the entries in the order of the queue."""
        with self._read():
            return self._select("1")

    def get(self, number: int) -> Download | None:
        """Return one entry."""
        with self._read():
            return next(iter(self._select("id = ?", number)), None)

    def change(self, number: int, **values: object) -> None:
        """Set columns of an entry."""
        if "note" in values:
            values["note"] = json.dumps(pack_text(values["note"])) if values["note"] else None
        names = ", ".join(f"{name} = ?" for name in values)
        with self._write() as db:
            db.execute(f"UPDATE downloads SET {names} WHERE id = ?", (*values.values(), number))  # noqa: S608

    def wish(self, number: int, wish: Wish) -> None:
        """Note what somebody wants of an entry; wanting it to run again forgets why it stopped."""
        with self._write() as db:
            db.execute("UPDATE downloads SET wish = ? WHERE id = ? AND wish != 'cancel'", (wish, number))
            if wish == "run":
                db.execute(
                    "UPDATE downloads SET state = 'queued', note = NULL"
                    " WHERE id = ? AND state IN ('paused', 'failed')",
                    (number,),
                )
            elif wish == "pause":
                db.execute(
                    "UPDATE downloads SET state = 'paused' WHERE id = ? AND state = 'queued'", (number,)
                )

    def move(self, number: int, before: int | None) -> None:
        """Put an entry before another one, or at the end."""
        with self._write() as db:
            if before is None:
                place = db.execute("SELECT coalesce(max(position), 0) + 1 FROM downloads").fetchone()[0]
            else:
                there = db.execute("SELECT position FROM downloads WHERE id = ?", (before,)).fetchone()
                if there is None:
                    return
                ahead = db.execute(
                    "SELECT max(position) FROM downloads WHERE position < ? AND id != ?", (there[0], number)
                ).fetchone()[0]
                place = (there[0] + (there[0] - 1 if ahead is None else ahead)) / 2
            db.execute("UPDATE downloads SET position = ? WHERE id = ?", (place, number))

    def remove(self, number: int) -> None:
        """Forget an entry."""
        with self._write() as db:
            db.execute("DELETE FROM downloads WHERE id = ?", (number,))

    def folders(self) -> list[Path]:
        """Return every folder that was ever downloaded into."""
        with self._read():
            folders = [row["folder"] for row in self._db.execute("SELECT folder FROM folders")]
        return [Path(folder) for folder in folders if isinstance(folder, str)]

    def changed_outside(self) -> int:
        """Return a number that changes when another program changes the queue."""
        with self._read():
            return self._db.execute("PRAGMA data_version").fetchone()[0]

    def _select(self, condition: str, *values: object) -> list[Download]:
        rows = self._db.execute(
            f"SELECT * FROM downloads WHERE {condition} ORDER BY position, id",  # noqa: S608 - ours
            values,
        ).fetchall()
        try:
            return [self._download(row) for row in rows]
        except (TypeError, ValueError) as error:
            raise sqlite3.DatabaseError(f"malformed: {error}") from error

    def _download(self, row: sqlite3.Row) -> Download:
        files = self._db.execute("SELECT * FROM files WHERE download = ? ORDER BY number", (row["id"],))
        request = Request(
            row["title"],
            row["repo"],
            row["commit_id"],
            tuple(RemoteFile(f["name"], f["size"], f["sha256"], bool(f["xet"])) for f in files),
            Path(row["folder"]),
            bool(row["replace_files"]),
        )
        return Download(
            row["id"], row["key"], request, cast("State", row["state"]), cast("Wish", row["wish"]),
            row["position"], row["done"], row["speed"], _note(row["note"]),
        )  # fmt: skip

    def _mend(self, damaged: int) -> sqlite3.Connection:
        """Put the file of this number aside, with what can be read of it in a new one; open what is there."""
        with held_if_still(self._path, damaged) as still:
            if still:
                new = self._path.with_name(f".{self._path.name}.new")
                new.unlink(missing_ok=True)
                with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
                    _make_tables(db)
                    salvage(self._path, db, ("downloads", "files", "folders"))
                    for statement in _MEND:
                        db.execute(statement)
                set_aside(self._path, "damaged", BESIDE)
                move_into_place(new, self._path)
            return self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=10.0, isolation_level=None, check_same_thread=False)
        try:
            db.row_factory = sqlite3.Row
            keep_log(db)
            for pragma in ("synchronous=NORMAL", "foreign_keys=ON", "trusted_schema=OFF"):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN IMMEDIATE")
            if _known_version(db) < _VERSION:
                _make_tables(db)
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    @contextmanager
    def _read(self) -> Generator[None]:
        with self._lock, self._translated():
            self._follow()
            yield

    @contextmanager
    def _write(self) -> Generator[sqlite3.Connection]:
        with self._lock, self._translated():
            self._follow()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _follow(self) -> None:
        """Open the file that has the name now: another program may have mended it."""
        if file_number(self._path) not in (0, self._number):
            self._db.close()
            self._db, self._number = self._open(), file_number(self._path)

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            if is_damage(error) and hasattr(self, "_number"):
                with contextlib.suppress(sqlite3.Error, OSError):  # what is wrong then comes up again
                    self._db.close()
                    self._db = self._mend(self._number)
                    self._number = file_number(self._path)
            raise StoreError(
                text(
                    "The list of downloads “{path}” cannot be used: {reason}.",
                    path=str(self._path),
                    reason=str(error),
                ),
                safe=text("Models that are on this disk are not concerned."),
                hint=text("Make room on the disk, and check that the folder can be written."),
            ) from error


def _insert(db: sqlite3.Connection, entry: Download) -> int:
    """Write an entry into the tables; return its number, which is a new one."""
    request = entry.request
    cursor = db.execute(
        "INSERT INTO downloads"
        " (key, title, repo, commit_id, folder, replace_files, state, wish, position, done, added)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.key, request.title, request.repo, request.commit, str(request.folder), request.replace,
            entry.state, entry.wish, entry.position, entry.done, time.time(),
        ),
    )  # fmt: skip
    number = cast("int", cursor.lastrowid)
    rows = [
        (number, place, file.name, file.size, file.sha256, file.xet)
        for place, file in enumerate(request.files)
    ]
    db.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)
    db.execute("INSERT OR IGNORE INTO folders VALUES (?)", (str(request.folder),))
    return number


def _make_tables(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {_VERSION}")


def _note(packed: str | None) -> Text | None:
    try:
        return unpack_text(json.loads(packed)) if packed else None
    except (ValueError, TypeError, KeyError, AttributeError):  # of a file that was damaged
        return None


def _known_version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise StoreError(
            text("The list of downloads was written by a newer LocalLLM."),
            safe=text("Models that are on this disk are not concerned."),
            hint=text("Update LocalLLM, then start it again."),
        )
    return version
