"""Moves the data folder: copies, compares, switches, and only then removes.

A kill at any moment loses nothing. Until the switch, one small file that is replaced whole, the old folder is
the one in use; after it the new one. What was interrupted goes on where it stopped when asked for again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from localllm.core.data_folder import (
    SIGNS,
    delete,
    files_of_data,
    is_taken,
    is_used,
    mark_folder,
    refuse_where_fixed,
    refuse_while_used,
    remember_folder,
    remove_empty_folders,
)
from localllm.core.unfinished import remove_left_over, unfinished_name
from localllm.errors import LocalLLMError, NotEnoughDisk, UsageError
from localllm.files import move_into_place, write_atomically
from localllm.paths import Paths, read_moved_folder
from localllm.progress import Progress
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_MARKER = ".localllm-move.json"  # in a folder that is being filled
_KEPT_FREE = 1 << 28  # bytes that stay free
_BLOCK = 4 << 20  # bytes
_LINKED_ENDING = ".gguf"  # never changed in place: on one disk a second name does for a copy
# where our databases keep paths of models; adapters and facts are JSON with paths in them
_PATHS: dict[str, dict[str, tuple[str, ...]]] = {
    "library.db": {
        "models": ("path",),
        "details": ("path", "parts"),
        "hashes": ("path",),
        "provenance": ("path",),
        "marks": ("path",),
        "profiles": ("path",),
        "links": ("path", "twin"),
    },
    "chats.db": {"chats": ("model_path", "adapters")},
    "downloads.db": {"downloads": ("folder",), "folders": ("folder",)},
}


def move_data(paths: Paths, target: Path, progress: Progress) -> Paths:
    """Move all data to an empty or new folder; return the paths from now on.

    Progress is in bytes. On one disk models are not copied but given their new name.

    Raises:
        UsageError: The folder cannot be used, it cannot be chosen here, or LocalLLM is running elsewhere.
        NotEnoughDisk: There is too little room.
        Cancelled: Through `progress`; the next try goes on from there.
    """
    target = _checked(paths, target)
    refuse_while_used(paths)
    _copy_all(paths, target, progress)
    with _explained(target):
        _remove_strangers(paths, target)
        _rewrite_paths(target, paths.data, target)
    mark_folder(target)
    remember_folder(paths, target, remove=paths.data)
    (target / _MARKER).unlink(missing_ok=True)
    paths.move_plan_file.unlink(missing_ok=True)
    finish_removal(paths)
    return Paths.for_user()


def copy_data(paths: Paths, target: Path, progress: Progress) -> None:
    """Copy all data to an empty or new folder while the program goes on, so that little remains to be done.

    `plan_move` then lets the next start do it. Raises as `move_data` does.
    """
    _copy_all(paths, _checked(paths, target), progress)


def plan_move(paths: Paths, target: Path) -> None:
    """Let the next start of the program move the data.

    Raises:
        OSError: The settings' folder cannot be written.
    """
    write_atomically(paths.move_plan_file, json.dumps({"folder": str(target.absolute())}).encode())


def carry_out_plan(paths: Paths) -> tuple[Paths, LocalLLMError | None]:
    """Do what was planned or was interrupted, before anything of the data is opened.

    Returns:
        The paths to use, and why a planned move was given up; everything is then where it was. While another
        program works with the data the plan waits.
    """
    finish_removal(paths)
    planned = read_moved_folder(paths.move_plan_file)
    if planned is None or is_used(paths):
        return paths, None
    try:
        return move_data(paths, planned, Progress()), None
    except LocalLLMError as error:
        with contextlib.suppress(OSError):
            paths.move_plan_file.unlink(missing_ok=True)
        return paths, error


def finish_removal(paths: Paths) -> None:
    """Remove what is left of the folder that data was moved from; what cannot be removed waits."""
    try:
        entry: Any = json.loads(paths.data_folder_file.read_text(encoding="utf-8"))
        folder, old = Path(entry["folder"]), Path(entry["remove"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if not folder.is_dir() or folder == old:
        return
    left = Paths(paths.config, old, paths.cache, paths.logs, old / "models")
    try:
        delete(files_of_data(left), Progress())
        for name in SIGNS:
            (old / name).unlink(missing_ok=True)
        remove_empty_folders(old)
        remember_folder(paths, folder)
    except (LocalLLMError, OSError):
        return


def _checked(paths: Paths, target: Path) -> Path:
    refuse_where_fixed(paths)
    target = target.absolute()
    inside = target.is_relative_to(paths.data) or paths.data.is_relative_to(target)
    if inside or target.resolve().is_relative_to(paths.data.resolve()):
        raise UsageError(
            text("“{folder}” and the data folder lie in one another.", folder=str(target)),
            hint=text("Choose a folder elsewhere."),
        )
    future = Paths(paths.config, target, paths.cache, paths.logs, target / "models")
    if target.exists() and not target.is_dir():
        raise UsageError(text("“{folder}” is not a folder.", folder=str(target)))
    if not _is_begun(target, paths.data) and is_taken(future):
        raise UsageError(
            text("“{folder}” is not empty.", folder=str(target)),
            safe=text("Nothing was changed."),
            hint=text("Choose a new or an empty folder."),
        )
    return target


def _is_begun(target: Path, source: Path) -> bool:
    try:
        entry: object = json.loads((target / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(entry, dict) and cast("dict[str, object]", entry).get("from") == str(source)


def _copy_all(paths: Paths, target: Path, progress: Progress) -> None:
    files = files_of_data(paths)
    sizes = {file: _size(file) for file in files}
    done, total = 0, sum(sizes.values())
    with _explained(target):
        write_atomically(target / _MARKER, json.dumps({"from": str(paths.data)}).encode())
        _require_room(paths, target, files)
        for file in files:
            place = target / file.relative_to(paths.data)
            if not _is_same(file, place):
                place.parent.mkdir(parents=True, exist_ok=True)
                remove_left_over(place.parent)
                before = done
                _bring(file, place, lambda read, before=before: progress.update(before + read, total))
            done += sizes[file]
            progress.update(done, total)


def _require_room(paths: Paths, target: Path, files: list[Path]) -> None:
    same_disk = target.stat().st_dev == paths.data.stat().st_dev
    missing = [file for file in files if not _is_same(file, target / file.relative_to(paths.data))]
    need = sum(_size(file) for file in missing if not (same_disk and file.suffix == _LINKED_ENDING))
    free = shutil.disk_usage(target).free
    if need + _KEPT_FREE > free:
        raise NotEnoughDisk(
            text(
                "The data needs {need} in “{folder}”, and {free} are free there.",
                need=Bytes(need + _KEPT_FREE),
                folder=str(target),
                free=Bytes(free),
            ),
            need=need + _KEPT_FREE,
            free=free,
            hint=text("Free some room there, or choose another disk."),
        )


def _is_same(file: Path, copy: Path) -> bool:
    """Tell whether this is a compared copy of a file as it is now: such a one has its size and time."""
    try:
        old, new = file.lstat(), copy.lstat()
    except OSError:
        return False
    return (old.st_size, old.st_mtime_ns, old.st_mode) == (new.st_size, new.st_mtime_ns, new.st_mode)


def _bring(file: Path, place: Path, report: Callable[[int], None]) -> None:
    """Give a file its place, whole or not at all; one that vanishes meanwhile is left out."""
    temporary = unfinished_name(place)
    try:
        if file.is_symlink():
            temporary.symlink_to(file.readlink())
        elif not _linked(file, temporary):
            _copy(file, temporary, report)
        move_into_place(temporary, place)
    except FileNotFoundError:
        if file.exists():
            raise
    finally:
        temporary.unlink(missing_ok=True)


def _linked(file: Path, temporary: Path) -> bool:
    if file.suffix != _LINKED_ENDING:
        return False
    try:
        os.link(file, temporary)
    except OSError:
        return False
    return True


def _copy(file: Path, temporary: Path, report: Callable[[int], None]) -> None:
    before = file.stat()
    written = hashlib.sha256()
    done = 0
    with file.open("rb") as source, temporary.open("wb") as copy:
        while block := source.read(_BLOCK):
            written.update(block)
            copy.write(block)
            done += len(block)
            report(done)
        copy.flush()
        os.fsync(copy.fileno())
    with temporary.open("rb") as copy:
        if hashlib.file_digest(copy, "sha256").digest() != written.digest():
            raise UsageError(
                text("The copy of “{path}” is not what was written.", path=str(file)),
                safe=text("Everything is where it was."),
                hint=text("Check that disk, or choose another."),
            )
    shutil.copymode(file, temporary)
    os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))


def _remove_strangers(paths: Paths, target: Path) -> None:
    """Remove what an earlier try copied and is gone since."""
    future = Paths(paths.config, target, paths.cache, paths.logs, target / "models")
    for file in files_of_data(future):
        if file.name != _MARKER and not os.path.lexists(paths.data / file.relative_to(target)):
            file.unlink()


def _rewrite_paths(folder: Path, old: Path, new: Path) -> None:
    """Let the copied databases name the models by their new paths."""
    as_json = [json.dumps(str(path) + os.sep)[1:-1] for path in (old, new)]
    changes = list(dict.fromkeys([(str(old) + os.sep, str(new) + os.sep), (as_json[0], as_json[1])]))
    for name, tables in _PATHS.items():
        if (folder / name).is_file():
            with contextlib.suppress(sqlite3.DatabaseError):  # a damaged one is mended when it is opened
                _rewrite(folder / name, tables, changes)


def _rewrite(file: Path, tables: dict[str, tuple[str, ...]], changes: list[tuple[str, str]]) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        names = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in tables.keys() & names:
            for column in tables[table]:
                for old, new in changes:
                    db.execute(
                        f"UPDATE OR REPLACE {table} SET {column} = replace({column}, ?, ?) "  # noqa: S608
                        f"WHERE instr({column}, ?)",
                        (old, new, old),
                    )
        db.execute("COMMIT")


@contextlib.contextmanager
def _explained(target: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            text(
                "The data cannot be moved to “{folder}”: {reason}.",
                folder=str(target),
                reason=error.strerror or str(error),
            ),
            safe=text("Everything is where it was."),
            hint=text("Check that the folder can be written, then try again: it goes on from there."),
        ) from error


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0
