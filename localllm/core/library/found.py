"""Finds model files in folders of any layout; nothing is opened, copied, moved or written."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.library.facts import SPLIT_NAME
from localllm.gguf.header import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from localllm.core.library.model import Provenance, Source
    from localllm.progress import Progress

_log = logging.getLogger(__name__)
_MAX_DEPTH = 32  # folders
_NAMELESS = ("model", "ggml-model", "weights")


@dataclass(frozen=True, slots=True)
class Part:
    """One file as it is on disk now; `path` has no links in it."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, path: str) -> Part:
        """Look at a file.

        Raises:
            OSError: It is gone, may not be seen, is no file, or has a name that is not text.
        """
        seen = os.stat(path)  # noqa: PTH116 - a path that stays text: there may be 10,000
        if not stat.S_ISREG(seen.st_mode):  # a pipe would be waited for when it is hashed
            raise OSError(errno.EINVAL, "it is not a file", path)
        real = os.path.realpath(path)
        _require_text(path, real)
        return cls(real, seen.st_size, seen.st_mtime_ns, seen.st_ino, seen.st_dev)


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model file, or the files of a split model, before anybody has looked inside.

    Attributes:
        path: Of a split model the first part's that is there.
        missing: Number of parts that are not there; the first of them is `lacking`, counted from 1.
    """

    path: str
    name: str
    source: Source
    parts: tuple[Part, ...]
    provenance: Provenance | None = None
    missing: int = 0
    lacking: int = 0

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)

    @property
    def signature(self) -> str:
        """What changes when a file changes."""
        files = " ".join(f"{part.size}:{part.mtime_ns}:{part.inode}" for part in self.parts)
        return f"{self.missing} {files}"


def name_of(path: Path | str) -> str:
    """Return what a model is called by its file; a folder's name where the file says nothing."""
    folder, _, file = str(path).replace("\\", "/").rpartition("/")
    name = SPLIT_NAME.sub("", file)
    name = name[:-5] if name.lower().endswith(".gguf") else name
    return folder.rpartition("/")[2] or name if name.lower() in _NAMELESS else name


def find_in(folder: Path, source: Source, progress: Progress) -> Iterator[FoundModel]:
    """Yield the models below a folder, whatever its layout; unreadable folders are passed over."""
    splits: dict[str, dict[int, tuple[str, Part]]] = {}
    for path, part in _files(str(folder), progress):
        split = SPLIT_NAME.search(path)
        if split is None:
            yield FoundModel(path, name_of(path), source, (part,))
        else:
            key = f"{path[: split.start()]}-of-{split[2]}"
            splits.setdefault(key, {})[int(split[1])] = (path, part)
    for key, parts in splits.items():
        yield _split_model(parts, int(key[-5:]), source)


def find_one(path: Path, source: Source) -> FoundModel:
    """Look at one model by its path, with its further parts if it is split.

    Raises:
        OSError: The file is gone or may not be seen.
    """
    split, parts = SPLIT_NAME.search(path.name), _parts_of(path)
    if split is None:
        return FoundModel(str(path), name_of(path), source, (parts[1][1],))
    return _split_model(parts, int(split[2]), source)


def files_of(path: Path) -> list[Path]:
    """Return the files of a model by the names that they have beside it, links not followed.

    Raises:
        OSError: The file is gone or may not be seen.
    """
    return [Path(name) for name, _part in _parts_of(path).values()]


def part_names(path: str, count: int) -> list[str]:
    """Return the names by which the files of a model lie beside it; [] if it has another number of them."""
    split, file = SPLIT_NAME.search(path), Path(path).name
    if split is None:
        return [file] if count == 1 else []
    stem = SPLIT_NAME.sub("", file)
    numbers = range(1, count + 1) if int(split[2]) == count else ()
    return [f"{stem}-{number:05d}-of-{split[2]}{file[-5:]}" for number in numbers]


def look_at(path: Path, source: Source) -> FoundModel:
    """Look at one model that a person has named.

    Raises:
        ModelNotFound: The file is gone, or cannot be read.
    """
    try:
        return find_one(path.absolute(), source)
    except OSError as error:
        raise unreadable(path, error) from error


def unique(models: Iterable[FoundModel]) -> Iterator[FoundModel]:
    """Leave out what was seen before under another path: links, and folders within folders."""
    seen: set[str] = set()
    for model in models:
        first = model.parts[0].path
        if first not in seen:
            seen.add(first)
            yield model


def _parts_of(path: Path) -> dict[int, tuple[str, Part]]:
    """Return the files that are there of a model, by their numbers; at least its own."""
    split = SPLIT_NAME.search(path.name)
    if split is None:
        return {1: (str(path), Part.of(str(path)))}
    stem = path.name[: split.start()]
    parts: dict[int, tuple[str, Part]] = {}
    for number in range(1, min(int(split[2]), 999) + 1):
        name = path.with_name(f"{stem}-{number:05d}-of-{split[2]}{path.name[-5:]}")
        if number == int(split[1]) or name.is_file():
            parts[number] = (str(name), Part.of(str(name)))
    return parts or {int(split[1]): (str(path), Part.of(str(path)))}


def _split_model(parts: dict[int, tuple[str, Part]], count: int, source: Source) -> FoundModel:
    files = tuple(part for _number, (_path, part) in sorted(parts.items()))
    path = parts[min(parts)][0]
    missing = count - sum(1 for number in parts if 1 <= number <= count)
    lacking = next(number for number in range(1, count + 2) if number not in parts) if missing else 0
    return FoundModel(path, name_of(path), source, files, missing=missing, lacking=lacking)


def _files(top: str, progress: Progress) -> Iterator[tuple[str, Part]]:
    """Yield every model file; a folder that several paths lead to once, by the one without links."""
    seen: set[tuple[int, int]] = set()
    waiting = deque([(top, 0)])  # folders that are links come last, where they may be known already
    while waiting:
        folder, depth = waiting.popleft()
        yield from _files_below(folder, depth, seen, waiting, progress)


def _files_below(
    folder: str, depth: int, seen: set[tuple[int, int]], links: deque[tuple[str, int]], progress: Progress
) -> Iterator[tuple[str, Part]]:
    progress.raise_if_cancelled()
    try:
        here = os.stat(folder)  # noqa: PTH116
        if (here.st_dev, here.st_ino) in seen:
            return
        seen.add((here.st_dev, here.st_ino))
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    linked = os.path.realpath(folder) != folder
    for entry in listed:
        if entry.name.startswith("."):
            continue
        try:
            if entry.name.lower().endswith(".gguf"):
                if entry.is_file():
                    yield entry.path, _part(entry, linked=linked)
            elif depth < _MAX_DEPTH and entry.is_dir():
                if entry.is_symlink():
                    links.append((entry.path, depth + 1))
                else:
                    yield from _files_below(entry.path, depth + 1, seen, links, progress)
        except OSError as error:  # gone since it was listed, a link to nowhere, a name that is not text
            _log.info("A file is passed over: %r: %s", entry.name, error.strerror)


def _part(entry: os.DirEntry[str], *, linked: bool) -> Part:
    seen = entry.stat()
    path = os.path.realpath(entry.path) if linked or entry.is_symlink() else entry.path
    _require_text(entry.path, path)
    return Part(path, seen.st_size, seen.st_mtime_ns, _inode(entry, seen), seen.st_dev)


def _require_text(*paths: str) -> None:
    """Refuse names that the index, which keeps text only, could not hold."""
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise OSError(errno.EILSEQ, "its name is not text", path) from error


def _inode(entry: os.DirEntry[str], seen: os.stat_result) -> int:
    """Return the file's number; Windows has it in neither of a folder listing's fields."""
    return seen.st_ino or os.stat(entry.path).st_ino  # noqa: PTH116
