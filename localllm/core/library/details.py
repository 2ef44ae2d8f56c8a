"""What is known of one model beyond its row in the list, and what all of them take together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.library.records import facts_of_row, parts_of, read_parts

if TYPE_CHECKING:
    from localllm.core.library.found import Part
    from localllm.core.library.index import Index
    from localllm.core.library.library import Library
    from localllm.core.library.model import FileFacts, LibraryModel, LoadProfile, Provenance


@dataclass(frozen=True)
class ModelDetails:
    """One model as the index knows it; `facts` is None where its header was refused."""

    model: LibraryModel
    facts: FileFacts | None
    origin: Provenance | None
    parts: tuple[Part, ...]
    profiles: tuple[LoadProfile, ...]


def read_details(library: Library, model: LibraryModel) -> ModelDetails:
    """Return what the index knows of a model; no file is opened.

    Raises:
        StoreError: The index cannot be read.
    """
    path = str(model.path)
    with library.index.reading() as db:
        row = db.execute("SELECT facts FROM details WHERE path = ?", (path,)).fetchone()
        parts = parts_of(db, path)
    facts = facts_of_row(row["facts"]) if row else None
    origin = library.index.provenance(path)
    return ModelDetails(model, facts, origin, parts, tuple(library.profiles(model.path)))


def disk_use(index: Index) -> int:
    """Return the bytes that all files of models take; hard links of one file count once.

    Raises:
        StoreError: The index cannot be read.
    """
    with index.reading() as db:
        rows = db.execute("SELECT parts FROM details").fetchall()
    files = {(part.device, part.inode): part.size for row in rows for part in read_parts(row["parts"])}
    return sum(files.values())
