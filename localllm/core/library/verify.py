"""Hashes models: a hash that is what the source says, or was before, is what "ready" means."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.library.found import Part, find_one
from localllm.core.library.records import settle_state, write_hash
from localllm.gguf.header import unreadable
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.core.library.index import Index
    from localllm.core.library.model import State
    from localllm.progress import Progress
    from localllm.texts import Text

_BUFFER = 4 << 20  # bytes


@dataclass(frozen=True)
class Verification:
    """What hashing a model showed; `sha256` by file name."""

    path: Path
    state: State
    sentence: Text
    sha256: Mapping[str, str] = field(default_factory=dict[str, str])


class ChangedWhileReadError(Exception):
    """The file was written to while it was hashed."""


def verify(index: Index, path: Path, progress: Progress) -> Verification:
    """Hash all files of a model and compare with its source, or with what they hashed to before.

    Raises:
        ModelNotFound: A file is gone or cannot be read.
        Cancelled: Through `progress`, which gets bytes.
    """
    try:
        found = find_one(path, "folder")
        origin = index.provenance(str(path))
        known = origin is not None and bool(origin.sha256)  # then what it was before does not matter
        before = {} if known else _hashes_before(index, [part.path for part in found.parts])
        sha256: dict[str, str] = {}
        done = 0
        for part in found.parts:
            sha256[part.path] = hash_part(part, progress, done, found.size)
            done += part.size
    except ChangedWhileReadError:
        return Verification(path, "changed", text("“{name}” is being written to right now.", name=path.name))
    except OSError as error:
        raise unreadable(path, error) from error
    with index.writing() as db:
        for part in found.parts:
            write_hash(db, part, sha256[part.path])
        state = settle_state(db, found.path, found.parts)
    named = {Path(file).name: value for file, value in sha256.items()}
    if state == "checked" and any(before.get(file, value) != value for file, value in sha256.items()):
        sentence = text("“{name}” is not what it was when it was hashed before.", name=path.name)
        return Verification(path, "changed", sentence, named)
    return Verification(path, state, _sentence(state, path, known=known or bool(before)), named)


def hash_part(part: Part, progress: Progress, done: int = 0, total: int = 0) -> str:
    """Return the SHA-256 of a file that must stay as it was seen.

    Raises:
        ChangedWhileReadError: It did not.
        OSError: It cannot be read.
    """
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_BUFFER))
    with Path(part.path).open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            done += count
            progress.update(done, total or part.size)
    now = Part.of(part.path)
    if (now.size, now.mtime_ns, now.inode) != (part.size, part.mtime_ns, part.inode):
        raise ChangedWhileReadError
    return digest.hexdigest()


def _hashes_before(index: Index, paths: list[str]) -> dict[str, str]:
    marks = ", ".join("?" * len(paths))
    with index.reading() as db:
        rows = db.execute(f"SELECT path, sha256 FROM hashes WHERE path IN ({marks})", paths)  # noqa: S608
        return {row["path"]: row["sha256"] for row in rows}


def _sentence(state: State, path: Path, *, known: bool) -> Text:
    if state == "damaged":
        return text("“{name}” is not the file that its source has: its hash differs.", name=path.name)
    if known:
        return text("“{name}” is as it should be.", name=path.name)
    return text("“{name}” was hashed; from now on a change will be noticed.", name=path.name)
