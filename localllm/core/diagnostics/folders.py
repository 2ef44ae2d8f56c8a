"""Where the application keeps things, how much each part takes, and what of it can be made again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.paths import Paths
    from localllm.progress import Progress

Keep = Literal["yours", "learned", "again"]  # made by a person; measured here; made again when it is wanted


@dataclass(frozen=True)
class Part:
    """A part of the data.

    Attributes:
        name: For programs.
        label: What it is, for people.
        paths: Files and folders that belong to it.
        keep: Whose it is.
        size: Bytes.
    """

    name: str
    label: Text
    paths: tuple[Path, ...]
    keep: Keep
    size: int


def data_parts(paths: Paths, progress: Progress | None = None) -> tuple[Part, ...]:
    """Measure every part of the data.

    Raises:
        Cancelled: Through `progress`.
    """
    learned = (paths.measurements_file, paths.speeds_file, paths.loads_file, paths.engine_limits_file)
    results = (paths.benches_file, paths.evaluations_file, paths.imatrix_folder)
    lists = (paths.library_file, paths.downloads_file, paths.catalogue_file)
    wanted: tuple[tuple[str, Text, Sequence[Path], Keep], ...] = (
        ("models", text("Models"), [paths.models], "yours"),
        ("chats", text("Chats"), [paths.chats_file], "yours"),
        ("lists", text("Lists of models and downloads"), lists, "yours"),
        ("results", text("Benches, qualities, importance matrices"), results, "yours"),
        ("settings", text("Settings"), [paths.settings_file, paths.window_state_file], "yours"),
        ("learned", text("What was measured on this computer"), learned, "learned"),
        ("caches", text("Caches, which are made again when they are needed"), [paths.cache], "again"),
        ("logs", text("Logs"), [paths.logs], "again"),
    )
    parts: list[Part] = []
    for name, label, places, keep in wanted:
        size = sum(size_of(place, progress) for place in places)
        parts.append(Part(name, label, tuple(places), keep, size))
    return tuple(parts)


def size_of(path: Path, progress: Progress | None = None) -> int:
    """Return the bytes of a file, with what SQLite keeps beside it, or of all files below a folder."""
    if progress is not None:
        progress.raise_if_cancelled()
    if path.is_symlink():
        return 0
    if path.is_dir():
        try:
            return sum(size_of(inner, progress) for inner in path.iterdir())
        except OSError:
            return 0
    names = (
        [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
        if path.suffix == ".db"
        else [path]
    )
    return sum(_bytes_of(name) for name in names)


def empty_caches(paths: Paths) -> int:
    """Delete what can be made again; return the bytes that were freed.

    Raises:
        OSError: Something could not be deleted; what was deleted stays so.
    """
    before = size_of(paths.cache)
    if paths.cache.is_dir():
        for inner in paths.cache.iterdir():
            if inner.is_dir() and not inner.is_symlink():
                shutil.rmtree(inner)
            else:
                inner.unlink()
    return before - size_of(paths.cache)


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
