"""Takes models away: our own files into a trash folder with a way back, others off the list only.

The trash is the folder `.trash` in a models folder of ours: on the same disk, so that nothing is copied, and
each entry describes itself in `entry.json`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from localllm.core.clock import FIRST_RELEASE
from localllm.core.library.found import files_of
from localllm.core.library.records import forget
from localllm.errors import UsageError
from localllm.files import write_atomically
from localllm.gguf.header import unreadable
from localllm.texts import Bytes, Text, plural, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.core.library.library import Library
    from localllm.core.library.model import LibraryModel
    from localllm.progress import Progress

TRASH_DAYS = 30
_FOLDER, _ENTRY = ".trash", "entry.json"
_DAY = 86_400  # seconds


@dataclass(frozen=True)
class Removal:
    """What taking a model away would mean.

    Attributes:
        own: Its files lie in our models folder and go to the trash; otherwise it only leaves the list.
        files: All of its files.
        freed: Bytes that emptying the trash would free; files with further hard links free nothing.
        profiles: Load profiles that belong to it.
        chats: Titles of chats that use it.
        linked: Whether copies elsewhere share its disk space.
    """

    model: LibraryModel
    own: bool
    files: tuple[Path, ...]
    freed: int
    profiles: tuple[str, ...] = ()
    chats: tuple[str, ...] = ()
    linked: bool = False

    def sentences(self) -> list[Text]:
        """Say what will happen and what depends on the model."""
        name, said = self.model.name, list[Text]()
        if self.own:
            said.append(
                plural(
                    len(self.files),
                    "“{name}” goes to the trash: one file of {size}.",
                    "“{name}” goes to the trash: {count} files, {size} together.",
                    name=name,
                    size=Bytes(self.model.size),
                )
            )
        else:
            sentence = "“{name}” leaves the list; its file stays in “{folder}”."
            said.append(text(sentence, name=name, folder=str(self.model.path.parent)))
        if self.chats:
            sentence = ("One chat uses it: {titles}.", "{count} chats use it: {titles}.")
            said.append(
                plural(len(self.chats), *sentence, titles=", ".join(f"“{title}”" for title in self.chats[:5]))
            )
        if self.profiles:
            said.append(text("Its load profiles are kept: {names}.", names=", ".join(self.profiles)))
        if self.linked and self.own:
            said.append(text("It shares its disk space with copies elsewhere, which stay."))
        if self.own and self.model.projector:
            said.append(text("Its image part “{name}” stays.", name=self.model.projector.name))
        return said


@dataclass(frozen=True)
class TrashEntry:
    """What lies in the trash; `deleted` in seconds since 1970, `size` in bytes."""

    folder: Path
    name: str
    size: int
    deleted: float
    files: tuple[Path, ...]


def removal(library: Library, model: LibraryModel, chats: Sequence[str] = ()) -> Removal:
    """Return what taking a model away would mean; `chats` are the titles of those that use it.

    Raises:
        UsageError: It is the starter model, which comes with the application.
        ModelNotFound: It is gone, or cannot be read.
    """
    if model.starter:
        raise UsageError(text("The starter model comes with the application and cannot be removed."))
    try:
        files = tuple(files_of(model.path))
        seen = [path.lstat() for path in files]  # of a link itself, which frees nothing
    except OSError as error:
        raise unreadable(model.path, error) from error
    own = _home_of(library, model) is not None
    freed = sum(one.st_size for one in seen if one.st_nlink == 1 and stat.S_ISREG(one.st_mode)) if own else 0
    profiles = tuple(profile.name for profile in library.profiles(model.path))
    return Removal(model, own, files, freed, profiles, tuple(chats), any(one.st_nlink > 1 for one in seen))


def remove(library: Library, wanted: Removal, progress: Progress) -> TrashEntry | None:
    """Do it; return the way back, None where the model only left the list.

    Raises:
        UsageError: A file could not be moved; what had been moved is back.
    """
    progress.raise_if_cancelled()
    entry, home = None, _home_of(library, wanted.model)
    if home is not None:
        entry = _move_to_trash(home, wanted)
        with library.index.writing() as db:
            forget(db, [str(wanted.model.path)])
    else:
        library.set_hidden(wanted.model.path, hidden=True)
    return entry


def list_trash(*models: Path) -> list[TrashEntry]:
    """Return what lies in the trash of these models folders, the newest first."""
    found = [_read_entry(file.parent) for folder in models for file in (folder / _FOLDER).glob(f"*/{_ENTRY}")]
    return sorted((entry for entry in found if entry), key=lambda entry: -entry.deleted)


def restore(entry: TrashEntry) -> None:
    """Put everything back where it was.

    Raises:
        UsageError: Another file lies there now, or the folder cannot be written.
    """
    held = {path: entry.folder / path.name for path in entry.files if _is_there(entry.folder / path.name)}
    if taken := next((path for path in held if _is_there(path)), None):
        raise UsageError(
            text("“{path}” exists again.", path=str(taken)),
            safe=text("The model is still in the trash."),
            hint=text("Move or rename that file, then try again."),
        )
    try:
        for path, kept in held.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            kept.rename(path)
    except OSError as error:  # what is back stays; the next try brings the others
        raise UsageError(
            text("“{name}” could not be moved: {reason}.", name=entry.name, reason=_reason(error)),
            safe=text("What could not be moved is still in the trash."),
            hint=text("Check that its folder is there and can be written, then try again."),
        ) from error
    shutil.rmtree(entry.folder, ignore_errors=True)


def empty_trash(*models: Path, older_than_days: float = 0) -> int:
    """Delete for good what lies in the trash for so long; return the bytes.

    What was removed while the clock was wrong has no age: it stays until everything is deleted.
    """
    freed, limit = 0, time.time() - older_than_days * _DAY
    for entry in list_trash(*models):
        ageless = entry.deleted < FIRST_RELEASE and older_than_days > 0
        if entry.deleted <= limit and not ageless:
            freed += entry.size
            shutil.rmtree(entry.folder, ignore_errors=True)
    return freed


def _move_to_trash(models: Path, wanted: Removal) -> TrashEntry:
    now = time.time()
    folder = models / _FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000_000:09d}"
    entry = TrashEntry(folder, wanted.model.name, wanted.model.size, now, wanted.files)
    record = {
        "name": entry.name,
        "size": entry.size,
        "deleted": now,
        "files": [str(path.relative_to(models)) for path in wanted.files],
    }
    moved: list[Path] = []
    try:
        write_atomically(folder / _ENTRY, json.dumps(record).encode())
        for path in wanted.files:
            path.rename(folder / path.name)
            moved.append(path)
    except OSError as error:
        for path in moved:
            with contextlib.suppress(OSError):
                (folder / path.name).rename(path)
        if all(path.exists() for path in moved):
            shutil.rmtree(folder, ignore_errors=True)
        raise _not_moved(entry.name, error) from error
    return entry


def _read_entry(folder: Path) -> TrashEntry | None:
    try:
        record: Any = json.loads((folder / _ENTRY).read_text(encoding="utf-8"))
        models = folder.parent.parent
        files = tuple(models / str(name) for name in cast("list[object]", record["files"]))
        if not all(is_within(path, models) for path in files):
            return None
        return TrashEntry(folder, str(record["name"]), int(record["size"]), float(record["deleted"]), files)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _home_of(library: Library, model: LibraryModel) -> Path | None:
    """Return the models folder of ours in which a model lies."""
    return next((folder for folder in library.own_folders if is_within(model.path, folder)), None)


def is_within(path: Path, folder: Path) -> bool:
    """Tell whether a path lies in a folder, its own last step not followed if it is a link."""
    return (path.parent.resolve() / path.name).is_relative_to(folder.resolve())


def _is_there(path: Path) -> bool:
    """Tell whether something lies there, a link to nowhere included."""
    return os.path.lexists(path)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _not_moved(name: str, error: OSError) -> UsageError:
    return UsageError(
        text("“{name}” could not be moved: {reason}.", name=name, reason=_reason(error)),
        safe=text("Its files are where they were."),
        hint=text("End programs that use the file, and check that its folder can be written."),
    )
