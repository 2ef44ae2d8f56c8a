"""Caches: what can be made again, and can be deleted."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.paths import Paths


def empty_caches(paths: Paths) -> int:
    """Delete what can be made again; return the bytes that were freed.

    Raises:
        OSError: Something could not be deleted; what was deleted stays so.
    """
    freed = 0
    if paths.cache.is_dir():
        for inner in paths.cache.iterdir():
            size = size_of(inner)
            if inner.is_dir() and not inner.is_symlink():
                shutil.rmtree(inner)
            else:
                inner.unlink()
            freed += size
    return freed


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())
