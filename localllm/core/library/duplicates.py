"""Equal files in several places: found by size and hash, made one on wish, separate again on wish.

A copy is replaced by a reflink where the file system has them (the copies stay independent), otherwise by a
hard link. What was replaced is written down first, so that every step can be undone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from localllm.core.library.found import Part
from localllm.core.library.records import read_parts, write_hash
from localllm.core.library.verify import ChangedWhileReadError, hash_part
from localllm.errors import UsageError
from localllm.files import move_into_place
from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from localllm.core.library.index import Index
    from localllm.progress import Progress

How = Literal["reflink", "hard link"]
_SMALLEST = 1 << 20  # bytes; below, nothing is won
_SAMPLE = 1 << 16  # bytes compared at both ends and in the middle before everything is hashed
_CLONE = 0x40049409  # FICLONE, linux/fs.h
_KEPT_FREE = 1 << 28  # bytes that stay free beside a copy
_SUFFIX = ".localllm-link"


@dataclass(frozen=True)
class DuplicateGroup:
    """Files with the same content; `copies` take `size` bytes each, one of them would do."""

    sha256: str
    size: int
    copies: tuple[Part, ...]

    @property
    def reclaimable(self) -> int:
        """Bytes that making them one would free: of every disk one copy stays."""
        return self.size * (len(self.copies) - len({part.device for part in self.copies}))


@dataclass(frozen=True)
class DedupeResult:
    """What became of the copies; `skipped` names files with the reason."""

    changed: tuple[str, ...] = ()
    bytes: int = 0
    skipped: tuple[tuple[str, Text], ...] = ()


def find_duplicates(index: Index, progress: Progress) -> list[DuplicateGroup]:
    """Return files with the same content, the most wasteful first; hard links count as one file.

    Raises:
        Cancelled: Through `progress`; hashes computed until then are kept.
    """
    candidates = _same_size(index)
    total, done = sum(part.size for group in candidates for part in group), 0
    found: list[DuplicateGroup] = []
    for group in candidates:
        by_hash: dict[str, list[Part]] = defaultdict(list)
        for part in group:
            with contextlib.suppress(OSError, ChangedWhileReadError):
                by_hash[_known_hash(index, part, progress, done, total)].append(part)
            done += part.size
        found += [
            DuplicateGroup(h, same[0].size, tuple(same)) for h, same in by_hash.items() if len(same) > 1
        ]
    return sorted(found, key=lambda group: -group.reclaimable)


def deduplicate(index: Index, groups: Iterable[DuplicateGroup], progress: Progress) -> DedupeResult:
    """Make the copies of each group one file per disk; both are hashed again right before.

    Raises:
        Cancelled: Through `progress`, between two files.
    """
    changed: list[str] = []
    skipped: list[tuple[str, Text]] = []
    freed = 0
    for group in groups:
        for keeper, copy in _pairs(group.copies):
            progress.raise_if_cancelled()
            reason = _make_one(index, keeper, copy, group.sha256, progress)
            if reason is not None:
                skipped.append((copy.path, reason))
                continue
            changed.append(copy.path)
            freed += group.size
    return DedupeResult(tuple(changed), freed, tuple(skipped))


def undo(index: Index, progress: Progress) -> DedupeResult:
    """Make every file that was replaced by a hard link a copy of its own again.

    Raises:
        UsageError: The disk has not enough room.
        Cancelled: Through `progress`, between two files.
    """
    with index.reading() as db:
        rows = db.execute("SELECT * FROM links ORDER BY path").fetchall()
    changed: list[str] = []
    skipped: list[tuple[str, Text]] = []
    taken = 0
    for row in rows:
        progress.raise_if_cancelled()
        path = Path(row["path"])
        try:
            if not path.exists():  # its disk may come back
                continue
            if _is_shared(path, Path(row["twin"])):
                _separate(path, row["sha256"], row["mtime_ns"], row["mode"], progress)
                changed.append(str(path))
                taken += row["size"]
        except (OSError, ChangedWhileReadError) as error:
            skipped.append((str(path), text("{reason}", reason=str(error) or "changed")))
            continue
        with index.writing() as db:
            db.execute("DELETE FROM links WHERE path = ?", (str(path),))
    return DedupeResult(tuple(changed), taken, tuple(skipped))


def link(source: Path, target: Path) -> How:
    """Make `target` a reflink or a hard link of `source`.

    Raises:
        OSError: Neither is possible: another disk, or a file system without links.
    """
    if sys.platform == "linux" and _clone(source, target):
        return "reflink"
    os.link(source, target)
    return "hard link"


def _clone(source: Path, target: Path) -> bool:
    import fcntl

    try:
        with source.open("rb") as old, target.open("xb") as new:
            fcntl.ioctl(new.fileno(), _CLONE, old.fileno())
    except FileExistsError:
        raise
    except OSError:
        target.unlink(missing_ok=True)
        return False
    return True


def _same_size(index: Index) -> list[list[Part]]:
    """Return files of models that could be equal: the same size, and the same bytes at three places."""
    with index.reading() as db:
        rows = db.execute("SELECT parts FROM details ORDER BY path").fetchall()
    by_size: dict[int, dict[tuple[int, int], Part]] = defaultdict(dict)
    for row in rows:
        for part in read_parts(row["parts"]):
            with contextlib.suppress(OSError):
                now = Part.of(part.path)
                if now.size >= _SMALLEST:
                    by_size[now.size].setdefault((now.device, now.inode), now)
    groups: list[list[Part]] = []
    for files in by_size.values():
        by_sample: dict[bytes, list[Part]] = defaultdict(list)
        for part in files.values() if len(files) > 1 else ():
            with contextlib.suppress(OSError):
                by_sample[_sample(part)].append(part)
        groups += [group for group in by_sample.values() if len(group) > 1]
    return groups


def _sample(part: Part) -> bytes:
    digest = hashlib.sha256()
    with Path(part.path).open("rb") as file:
        for place in (0, part.size // 2, part.size - _SAMPLE):
            file.seek(max(0, place))
            digest.update(file.read(_SAMPLE))
    return digest.digest()


def _known_hash(index: Index, part: Part, progress: Progress, done: int, total: int) -> str:
    with index.reading() as db:
        query = "SELECT sha256 FROM hashes WHERE path = ? AND size = ? AND mtime_ns = ?"
        row = db.execute(query, (part.path, part.size, part.mtime_ns)).fetchone()
    if row is not None:
        return row["sha256"]
    computed = hash_part(part, progress, done, total)
    with index.writing() as db:
        write_hash(db, part, computed)
    return computed


def _pairs(copies: Sequence[Part]) -> list[tuple[Part, Part]]:
    """Return (the copy that stays, the copy to replace) for every copy but one per disk."""
    keepers: dict[int, Part] = {}
    return [(keepers[copy.device], copy) for copy in copies if keepers.setdefault(copy.device, copy) != copy]


def _make_one(index: Index, keeper: Part, copy: Part, sha256: str, progress: Progress) -> Text | None:
    """Replace `copy`; return why it was left alone, None if it was not."""
    target = Path(copy.path)
    temporary = target.with_name(f".{target.name}{_SUFFIX}")
    try:
        old, kept = target.stat(), Path(keeper.path).stat()
        if (old.st_uid, old.st_mode) != (kept.st_uid, kept.st_mode):
            return text("it belongs to another user, or has other rights")
        seen = [Part.of(one.path) for one in (keeper, copy)]
        if any(hash_part(part, progress) != sha256 for part in seen):
            return text("its content has changed")
        temporary.unlink(missing_ok=True)  # left by a run that was killed
        how = link(Path(keeper.path), temporary)
        if how == "reflink":
            shutil.copystat(target, temporary)
        with index.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (copy.path, keeper.path, copy.size, sha256, old.st_mtime_ns, old.st_mode, how, time.time()),
            )
        if [Part.of(part.path) for part in seen] != seen:  # hashing the other one took its time
            return text("its content has changed")
        move_into_place(temporary, target)
    except ChangedWhileReadError:
        return text("its content has changed")
    except OSError as error:
        return text("{reason}", reason=error.strerror or str(error))
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return None


def require_room_for(source: Path, folder: Path) -> None:
    """Refuse to begin a copy that would fill the disk.

    Raises:
        UsageError: There is not enough room for the file and a bit more.
    """
    size, free = source.stat().st_size, shutil.disk_usage(folder).free
    if free < size + _KEPT_FREE:
        raise UsageError(
            text("The disk has {free} free; {needed} are needed.", free=Bytes(free), needed=Bytes(size)),
            safe=text("Nothing was changed."),
            hint=text("Make room on the disk, then try again."),
        )


def _is_shared(path: Path, twin: Path) -> bool:
    return path.stat().st_nlink > 1 and (not twin.exists() or path.samefile(twin))


def _separate(path: Path, sha256: str, mtime_ns: int, mode: int, progress: Progress) -> None:
    """Give a path a file of its own with the same content."""
    require_room_for(path, path.parent)
    temporary = path.with_name(f".{path.name}{_SUFFIX}")
    try:
        with path.open("rb") as old, temporary.open("wb") as new:
            while block := old.read(4 << 20):
                new.write(block)
                progress.raise_if_cancelled()
            new.flush()
            os.fsync(new.fileno())
        os.utime(temporary, ns=(mtime_ns, mtime_ns))
        temporary.chmod(mode & 0o7777)
        if hash_part(Part.of(str(temporary)), progress) != sha256:
            raise ChangedWhileReadError
        move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
