"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one beside it: temporary, fsync, rename, fsync of the folder.

    Raises:
        OSError: The disk is full, or the folder cannot be written; the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def move_into_place(source: Path, target: Path) -> None:
    """Give a finished file its name, in place of what has it; both lie on one disk.

    Raises:
        OSError: The folder cannot be written, the finished file is gone, or Windows has the old one open.
    """
    if not os.path.lexists(source):  # its disk may be away: no folder is made in the place of it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace(source, target)
    _sync_folder(target.parent)


def file_number(path: Path) -> int:
    """Return what tells a file from another one made later under its name; 0 if there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


@contextmanager
def held_if_still(path: Path, number: int) -> Generator[bool]:
    """Hold a file's lock, and say whether it is still the one of this number.

    Of several programs that want to replace a file, so only one does.

    Raises:
        OSError: The folder cannot be written.
    """
    with FileLock(path.with_name(f"{path.name}.lock")):
        yield file_number(path) == number


def set_aside(path: Path, word: str, endings: Sequence[str] = ("",)) -> Path:
    """Rename a file, and those beside it with these endings, to `name.<word>-<time>`; return its new path.

    Raises:
        OSError: The folder cannot be written.
    """
    aside = name_aside(path, word)
    for ending in endings:
        old = path.with_name(path.name + ending)
        if old.exists():
            old.replace(aside.with_name(aside.name + ending))
    return aside


def name_aside(path: Path, word: str) -> Path:
    """Return `name.<word>-<time>` beside a file, a name that nothing has yet."""
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000_000:09d}"
    return path.with_name(f"{path.stem}.{word}-{stamp}{path.suffix}")


def _replace(source: Path, target: Path) -> None:
    for attempt in range(10):
        try:
            source.replace(target)
        except PermissionError:  # Windows: a virus scanner or another reader holds the target for a moment
            if sys.platform != "win32" or attempt == 9:
                raise
            time.sleep(0.05)
        else:
            return


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # some network file systems refuse; the file itself is synced
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
