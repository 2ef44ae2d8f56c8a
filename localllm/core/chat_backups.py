"""Backups of the chats: one a day, seven kept, each opened and compared before it counts."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.chat_file import ChatFile, refuse_emptied
from localllm.core.chat_rescue import Contents, Rescue, count, put_in_place, rescue
from localllm.core.salvage import is_damage
from localllm.errors import DamagedStore, StoreError, UsageError
from localllm.files import move_into_place, name_aside
from localllm.texts import Bytes, Moment, plural, text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from localllm.texts import Text

KEPT = 7  # days
_SPARE = 16 * 2**20  # bytes that stay free beside a backup
_STAMP, _NAME = "%Y%m%d-%H%M%S", "chats-????????-??????.db"


@dataclass(frozen=True)
class Backup:
    """One backup; `made` in seconds since 1970, `size` in bytes; `contents` None where it cannot be read."""

    file: Path
    made: float
    size: int
    contents: Contents | None


@dataclass(frozen=True)
class Mending:
    """What there is to go on with after damage."""

    rescue: Rescue
    backup: Backup | None

    @property
    def backup_has_more(self) -> bool:
        """Whether the newest sound backup holds more messages than could be saved from the damaged file."""
        saved = self.rescue.contents.messages
        return self.backup is not None and bool(
            self.backup.contents and self.backup.contents.messages > saved
        )

    def sentences(self) -> list[Text]:
        """Say what was saved, what was not, and what the backup has."""
        found = self.rescue.contents
        said = [_saved(found.chats, found.messages)]
        if self.rescue.cut:
            said.append(
                plural(
                    self.rescue.cut,
                    "One of them has lost a part.",
                    "{count} of them have lost a part.",
                )
            )
        if self.backup is None or self.backup.contents is None:
            said.append(text("There is no backup that is sound."))
            return said
        there = self.backup.contents
        said.append(
            text(
                "The backup of {day} has {messages}.",
                day=Moment(self.backup.made, time_of_day=True),
                messages=_counted(there.chats, there.messages),
            )
        )
        return said


class ChatBackups:
    """The backups of a file of chats, in the folder `backups` beside it."""

    def __init__(self, chats: Path) -> None:
        self._chats = chats
        self.folder = chats.parent / "backups"

    def all(self) -> list[Backup]:
        """Return the backups, the newest first."""
        found = [_describe(file, made) for file, made in self._files()]
        return sorted(found, key=lambda backup: -backup.made)

    def due(self) -> bool:
        """Whether there are chats, and no backup of today."""
        today = time.strftime("%Y%m%d")
        return self._chats.is_file() and not any(self.folder.glob(f"chats-{today}-??????.db"))

    def make(self) -> Backup:
        """Make a backup, test it, and remove those of more than seven days.

        Raises:
            DamagedStore: The chats are damaged; all earlier backups are kept.
            StoreError: The disk is full, or the folder cannot be written; likewise.
        """
        if not self._chats.is_file():
            raise StoreError(
                text("The folder of the chats is not there: “{path}”.", path=str(self._chats.parent)),
                safe=text("Earlier backups are kept."),
                hint=text("Connect the disk again, then try again."),
            )
        try:
            with self._unfinished() as new:
                self._copy(new)
                now = time.time()
                file = self.folder / time.strftime(f"chats-{_STAMP}.db", time.localtime(now))
                move_into_place(new, file)
        except (OSError, sqlite3.Error) as error:
            raise _failure(error, self.folder) from error
        self._prune(file)
        return _describe(file, now)

    def restore(self, backup: Path, open_file: ChatFile | None = None) -> Path:
        """Put a backup in the place of the chats; return where the chats of before are kept.

        Args:
            backup: One of ours, or any other file of chats.
            open_file: The chats, where this program has them open.

        Raises:
            DamagedStore: The backup itself is damaged; nothing was changed.
            StoreError: An answer is being written, or the disk is full.
        """
        try:
            _test(backup)
            with contextlib.ExitStack() as stack:
                try:
                    file = open_file or stack.enter_context(closing(ChatFile(self._chats)))
                    return self._restore_into(file, backup)
                except DamagedStore:
                    return self._restore_damaged(backup, open_file)
        except (OSError, sqlite3.Error) as error:
            raise _failure(error, backup.parent) from error

    def damaged(self) -> bool:
        """Whether the chats that are there are damaged; every page of them is read.

        Raises:
            StoreError: The file is locked, or cannot be read.
        """
        if not self._chats.is_file():
            return False
        try:
            refuse_emptied(self._chats)
            _test(self._chats)
        except (OSError, sqlite3.Error) as error:
            if is_damage(error):
                return True
            raise _failure(error, self.folder) from error
        return False

    def mending(self) -> Mending:
        """Save what can be read of damaged chats, beside them, and look for the newest sound backup.

        Raises:
            StoreError: The disk is full, or the folder cannot be written.
        """
        return Mending(rescue(self._chats), next(filter(_is_sound, self.all()), None))

    def mend(self, mending: Mending, *, from_backup: bool, open_file: ChatFile | None = None) -> Path:
        """Go on with what was saved, or with the backup; return where the damaged file is kept.

        Raises:
            StoreError: The folder cannot be written.
        """
        if from_backup and mending.backup is not None:
            mending.rescue.file.unlink(missing_ok=True)
            return self._restore_damaged(mending.backup.file, open_file)
        try:
            return self._replace(mending.rescue.file, open_file)
        except OSError as error:
            raise _failure(error, self.folder) from error

    def find(self, name: str) -> Path:
        """Return a backup by its file's name or by its day (2026-11-22, 20261122).

        Raises:
            UsageError: There is none.
        """
        day = name.replace("-", "")
        for backup in self.all():
            if name in (backup.file.name, str(backup.file)) or backup.file.name.startswith(f"chats-{day}-"):
                return backup.file
        raise UsageError(
            text("There is no backup “{name}”.", name=name), hint=text("`localllm backup` lists them.")
        )

    def _restore_into(self, file: ChatFile, backup: Path) -> Path:
        if file.answering():
            raise StoreError(
                text("An answer is being written just now."),
                safe=text("Nothing was changed."),
                hint=text("Wait for its end, or stop it; then try again."),
            )
        kept = name_aside(self._chats, "before-restore")
        try:
            file.copy_to(kept)
        except BaseException:
            kept.unlink(missing_ok=True)
            raise
        file.take_over(backup)
        return kept

    def _restore_damaged(self, backup: Path, open_file: ChatFile | None) -> Path:
        try:
            with self._unfinished() as new:
                shutil.copyfile(backup, new)
                _sync(new)
                return self._replace(new, open_file)
        except OSError as error:
            raise _failure(error, self.folder) from error

    def _replace(self, new: Path, open_file: ChatFile | None) -> Path:
        return open_file.replace(new) if open_file is not None else put_in_place(self._chats, new)

    @contextlib.contextmanager
    def _unfinished(self) -> Generator[Path]:
        """Give a name for a file that is not there yet; what is left of it in the end is removed."""
        self.folder.mkdir(exist_ok=True)  # where the data folder is away there is nothing to back up
        new = self.folder / f".chats-{os.getpid()}.tmp"
        size = self._chats.stat().st_size if self._chats.exists() else 0
        free = shutil.disk_usage(self.folder).free
        if free < size + _SPARE:
            raise OSError(f"database or disk is full: {size} bytes needed, {free} free")
        try:
            yield new
        finally:
            for ending in ("", "-journal", "-wal", "-shm"):
                new.with_name(new.name + ending).unlink(missing_ok=True)

    def _copy(self, new: Path) -> None:
        """Copy every page as it is at one moment, and compare."""
        new.unlink(missing_ok=True)
        place = f"{self._chats.absolute().as_uri()}?mode=rw"  # none is made where the disk is away
        with closing(sqlite3.connect(place, uri=True, timeout=10.0, isolation_level=None)) as source:
            source.execute("BEGIN")  # until the end this connection sees the same rows
            there = count(source)
            with closing(sqlite3.connect(new)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
            source.execute("COMMIT")
        if _test(new) != there:
            raise sqlite3.DatabaseError("malformed: the copy does not have as many rows")
        _sync(new)

    def _files(self) -> Iterator[tuple[Path, float]]:
        for file in self.folder.glob(_NAME):
            with contextlib.suppress(ValueError, OverflowError):
                yield file, time.mktime(time.strptime(file.stem, f"chats-{_STAMP}"))

    def _prune(self, newest: Path) -> None:
        """Keep the last one of each of the seven newest days, and always the one just made."""
        days: dict[str, Path] = {}
        for file in sorted((file for file, _made in self._files()), reverse=True):
            days.setdefault(file.name[6:14], file)
        days[newest.name[6:14]] = newest
        kept = {days[day] for day in sorted(days, reverse=True)[:KEPT]} | {newest}
        for file, _made in list(self._files()):
            if file not in kept:
                with contextlib.suppress(OSError):  # open in another program, on Windows: the next time
                    file.unlink()


def _test(file: Path) -> Contents:
    """Open a file of chats as a restore would, and return how much it holds.

    Raises:
        OSError: It is not there.
        sqlite3.Error: It is damaged, or no file of chats.
    """
    if not file.is_file():
        raise FileNotFoundError(str(file))
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
        db.execute("PRAGMA cell_size_check = ON")
        problems = [row[0] for row in db.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise sqlite3.DatabaseError(f"malformed: {problems[0]}")
        if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise sqlite3.DatabaseError("malformed: a message without its chat")
        return count(db)


def _is_sound(backup: Backup) -> bool:
    try:
        return _test(backup.file).messages >= 0
    except (OSError, sqlite3.Error):
        return False


def _saved(chats: int, messages: int) -> Text:
    return text("From the damaged file could be saved: {messages}.", messages=_counted(chats, messages))


def _counted(chats: int, messages: int) -> Text:
    return text(
        "{messages} in {chats}",
        messages=plural(messages, "1 message", "{count} messages"),
        chats=plural(chats, "1 chat", "{count} chats"),
    )


def _describe(file: Path, made: float) -> Backup:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
            contents = count(db)
    except sqlite3.Error:
        contents = None
    return Backup(file, made, file.stat().st_size if file.exists() else 0, contents)


def _sync(file: Path) -> None:
    with file.open("r+b") as written:
        os.fsync(written.fileno())


def _failure(error: Exception, folder: Path) -> StoreError:
    safe = text("Earlier backups are kept.")
    if is_damage(error):
        return DamagedStore(
            text("The file is damaged: {reason}.", reason=str(error)),
            safe=safe,
            hint=text("Save what can be read of it, or take an earlier backup."),
            detail=str(error),
        )
    if "full" in str(error) or getattr(error, "errno", None) == 28:
        free = shutil.disk_usage(folder).free if folder.is_dir() else 0
        return StoreError(
            text("There is no room for a backup of the chats: {free} are free.", free=Bytes(free)),
            safe=safe,
            hint=text("Make room on the disk, then try again."),
            detail=str(error),
        )
    return StoreError(
        text("The backup could not be read or written: {reason}.", reason=str(error)),
        safe=safe,
        hint=text("Check that the folder “{path}” can be written.", path=str(folder)),
        detail=str(error),
    )
