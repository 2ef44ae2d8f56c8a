"""Lets a model be loaded the way that a search found fastest, and takes that back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.library import Library, LoadProfile
    from localllm.engine.protocol import LoadSettings

PROFILE = "tuned"


@dataclass(frozen=True)
class Kept:
    """What a model had before: a profile of the same name, and the one that it was loaded with."""

    path: Path
    before: LoadProfile | None
    default_before: LoadProfile | None


def keep_best(library: Library, path: Path, best: LoadSettings) -> Kept:
    """Let a model be loaded with these settings from now on.

    Raises:
        StoreError: They cannot be kept.
    """
    from localllm.core.library import LoadProfile

    before = next((one for one in library.profiles(path) if one.name == PROFILE), None)
    kept = Kept(path, before, library.profile(path))
    library.save_profile(path, LoadProfile(PROFILE, best))
    library.set_default_profile(path, PROFILE)
    return kept


def forget_best(library: Library, kept: Kept) -> None:
    """Let a model be loaded as before `keep_best`.

    Raises:
        StoreError: It cannot be kept.
    """
    if kept.before is None:
        library.index.remove_profile(str(kept.path), PROFILE)
    else:
        library.save_profile(kept.path, kept.before)
    library.set_default_profile(kept.path, kept.default_before.name if kept.default_before else "")
