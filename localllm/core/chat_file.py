"""The file of the chats: shared by threads and programs, found again when it was away."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

from localllm.core.chat_rescue import put_in_place
from localllm.core.chat_schema import migrate
from localllm.core.mended_database import BESIDE
from localllm.core.running import is_alive
from localllm.core.salvage import is_damage
from localllm.core.write_ahead import keep_log, open_to_read
from localllm.errors import DamagedStore, LockedStore, StoreError
from localllm.files import move_into_place, set_aside
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

Result = TypeVar("Result")

_BUSY_SECONDS = 10.0
_PRAGMAS = (
    "synchronous=FULL",
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "cell_size_check=ON",
)
_BUSY, _LOCKED, _READ_ONLY, _IO_ERROR, _CANNOT_OPEN = 5, 6, 8, 10, 14  # of SQLite
_NO_RIGHT = (errno.EROFS, errno.EACCES, errno.EPERM)
_TRIES = 3  # to begin, while other programs replace the file


class ChatFile:
    """One connection, kept open; `on_damage` is told, in any thread, of damage that shows.

    Raises, from every method:
        DamagedStore: The content is damaged.
        StoreError: The disk is full, away, or may not be written.
    """

    def __init__(self, path: Path, *, unsaved: StoreError | None = None) -> None:
        """Open the file; with a reason why it cannot be, what can be read of it lives in memory only."""
        self.path = path
        self.unsaved = unsaved
        self.on_damage: Callable[[DamagedStore], object] | None = None
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._folder: tuple[int, int] | None = None
        with self._translated():
            if unsaved is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._open()
            else:
                self._db = _in_memory(path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return what a query finds."""
        return self.read(lambda row: row, query, *values)

    def read(self, of: Callable[[sqlite3.Row], Result], query: str, *values: object) -> list[Result]:
        """Return what a query finds, each row read by `of`, which raises ValueError for what is none."""
        with self._lock, self._translated():
            try:
                return [of(row) for row in self._connected().execute(query, values)]
            except ValueError as error:
                raise sqlite3.DatabaseError(f"malformed: {error}") from error

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Open one transaction: all of it is on disk afterwards, or nothing."""
        with self._lock, self._translated():
            db = self._begin()
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # SQLite has rolled back by itself when the disk is full
                    db.execute("ROLLBACK")
                raise

    def copy_to(self, target: Path) -> None:
        """Write everything to a file of its own, as it is at one moment."""
        with self._lock, self._translated(), closing(sqlite3.connect(target)) as copy:
            self._connected().backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")

    def take_over(self, source: Path) -> None:
        """Have the content of another file from now on; other programs see it as one change."""
        with self._lock, self._translated(), closing(sqlite3.connect(source)) as other:
            db = self._connected()
            other.backup(db)
            migrate(db)

    def replace(self, new: Path) -> Path:
        """Put another file in the place of the damaged one, which is kept; return its new path."""
        with self._lock, self._translated():
            self._drop()
            aside = put_in_place(self.path, new)
            self._open()
            return aside

    def save_after_all(self) -> None:
        """Write what lives in memory to the file, which can be written now; what was there is kept beside."""
        if self.unsaved is None:
            return
        with self._lock, self._translated():
            db = self._connected()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_name(f".{self.path.name}.new")
            new.unlink(missing_ok=True)
            with closing(sqlite3.connect(new)) as copy:
                db.backup(copy)
            set_aside(self.path, "before-saving", BESIDE)
            move_into_place(new, self.path)
            self._drop()
            self._open()
            self.unsaved = None

    def answering(self) -> bool:
        """Whether a program that runs is writing an answer."""
        return any(
            is_alive(row[0]) for row in self.rows("SELECT writer FROM messages WHERE state = 'streaming'")
        )

    def _begin(self) -> sqlite3.Connection:
        for _ in range(_TRIES):
            db = self._connected()
            db.execute("BEGIN IMMEDIATE")
            if self.unsaved or _identity(self.path) == self._identity:
                return db
            db.execute("ROLLBACK")
        raise sqlite3.OperationalError("the file is being replaced again and again")

    def _connected(self) -> sqlite3.Connection:
        """Return the connection to the file that has the name now."""
        if self.unsaved and self._db is not None:
            return self._db
        there = _identity(self.path)
        if self._db is not None and there is None and self._folder == _identity(self.path.parent):
            self._put_back(self._db)
        elif there is None:
            raise FileNotFoundError(str(self.path))
        elif self._db is None or there != self._identity:
            self._drop()
            self._open()
        assert self._db is not None  # noqa: S101
        return self._db

    def _put_back(self, db: sqlite3.Connection) -> None:
        """Write the file again that somebody has deleted under our hands; it is still open here."""
        new = self.path.with_name(f".{self.path.name}.new")
        new.unlink(missing_ok=True)
        with closing(sqlite3.connect(new)) as copy:
            db.backup(copy)
        self._drop()
        move_into_place(new, self.path)
        self._open()

    def _open(self) -> None:
        refuse_emptied(self.path)
        db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            db.row_factory = sqlite3.Row
            keep_log(db)
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
            migrate(db)
        except BaseException:
            db.close()
            raise
        self._db, self._identity, self._folder = db, _identity(self.path), _identity(self.path.parent)

    def _drop(self) -> None:
        db, self._db, self._identity = self._db, None, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):  # its disk may be away
                db.close()

    @contextmanager
    def _translated(self) -> Generator[None]:
        """Turn SQLite's errors into sentences."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (_IO_ERROR, _CANNOT_OPEN) and not self.unsaved:
                self._drop()  # the disk may come back as another one
            said = _as_sentences(error, self.path)
            if isinstance(said, DamagedStore) and self.on_damage is not None:
                self.on_damage(said)
            raise said from error


def _in_memory(path: Path) -> sqlite3.Connection:
    """Return a database without a file, with what can be read of this one."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    try:
        if path.is_file():
            with contextlib.suppress(sqlite3.Error), closing(open_to_read(path)) as other:
                other.backup(db)
        db.execute("PRAGMA foreign_keys=ON")
        migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file or folder from another one that has its name later; None while there is none.

    Where a disk was unmounted, its place is another folder.
    """
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def refuse_emptied(path: Path) -> None:
    """Keep SQLite from beginning anew in an empty file that was full, and from deleting the log beside it.

    Raises:
        sqlite3.DatabaseError: The file is empty, and its log is not, or there are backups.
    """
    if not path.is_file() or path.stat().st_size:
        return
    log = path.with_name(f"{path.name}-wal")
    if (log.is_file() and log.stat().st_size) or any((path.parent / "backups").glob(f"{path.stem}-*.db")):
        raise sqlite3.DatabaseError("malformed: the file is empty")


def _as_sentences(error: Exception, path: Path) -> StoreError:
    safe, detail = text("What was saved before is safe in “{path}”.", path=str(path)), str(error)
    if is_damage(error):
        return DamagedStore(
            text("The file of the chats is damaged: {reason}.", reason=detail),
            safe=text("Nothing of it is thrown away."),
            hint=text("Save what can be read of it, or take a backup: `localllm backup` shows them."),
            detail=detail,
        )
    if isinstance(error, FileNotFoundError):
        return StoreError(
            text("The folder of the chats is not there: “{path}”.", path=str(path.parent)),
            safe=text("What is in the window stays there until the folder is back."),
            hint=text("Connect the disk again, then try again."),
            detail=detail,
        )
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (_BUSY, _LOCKED):
        return LockedStore(
            text("Another program holds the file of the chats."),
            safe=safe,
            hint=text("Close other windows of LocalLLM and programs that copy its folder, then try again."),
            detail=detail,
        )
    if getattr(error, "errno", 0) in _NO_RIGHT or code in (_READ_ONLY, _CANNOT_OPEN):
        return StoreError(
            text("The folder of the chats cannot be written: “{path}”.", path=str(path.parent)),
            safe=safe,
            hint=text("Give yourself the right to write there, then try again."),
            detail=detail,
        )
    if "full" in detail or getattr(error, "errno", 0) == errno.ENOSPC:
        hint = text("Make room on the disk, then try again.")
        return StoreError(text("The disk is full."), safe=safe, hint=hint, detail=detail)
    return StoreError(
        text("The chats could not be read or written: {reason}.", reason=detail),
        safe=safe,
        hint=text("Check that the folder can be written."),
        detail=detail,
    )
