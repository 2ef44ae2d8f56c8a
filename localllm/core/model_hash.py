"""What tells one model from every other: the SHA-256 of its file, for results that are kept under it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.library.found import find_one
from localllm.core.library.verify import ChangedWhileReadError, hash_part
from localllm.errors import ModelNotFound
from localllm.gguf.header import unreadable
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.library import LibraryModel
    from localllm.progress import Progress


def hash_model(model: LibraryModel | Path, progress: Progress) -> str:
    """Return a model's SHA-256, hexadecimal; of a split model the hash of its files' hashes.

    What the library knows is taken; otherwise the file is read, and `progress` gets bytes.

    Raises:
        ModelNotFound: A file is gone, cannot be read, or is being written to.
        Cancelled: Through `progress`.
    """
    if not isinstance(model, Path) and model.sha256:
        return model.sha256
    path = model if isinstance(model, Path) else model.path
    try:
        found = find_one(path, "folder")
        hashes: list[str] = []
        done = 0
        for part in found.parts:
            hashes.append(hash_part(part, progress, done, found.size))
            done += part.size
    except ChangedWhileReadError as error:
        message = text("“{name}” is being written to right now.", name=path.name)
        raise ModelNotFound(message, hint=text("Try again when it is complete.")) from error
    except OSError as error:
        raise unreadable(path, error) from error
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
