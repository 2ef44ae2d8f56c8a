"""Puts what was downloaded into the library, with where it came from and the hash that was checked."""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING

from localllm.core.downloads.records import RefusedError, Removable
from localllm.core.library import Provenance as Origin
from localllm.core.library.trash import is_within
from localllm.errors import BadModelFile, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localllm.core.downloads.records import Provenance
    from localllm.core.library import Library, LibraryModel

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf\Z", re.IGNORECASE)

_log = logging.getLogger(__name__)


class Arrivals:
    """What a `DownloadQueue` hands its verified files to; may be called from any thread."""

    def __init__(self, library: Library, arrived: Callable[[LibraryModel], object]) -> None:
        """Call `arrived` with every model that is complete, in the thread that brought it."""
        self._library = library
        self._arrived = arrived
        self._lock = threading.Lock()
        self._parts: dict[Path, dict[int, tuple[Path, Provenance]]] = {}

    def take(self, path: Path, origin: Provenance) -> None:
        """Note one file; a split model is complete with its last part.

        Raises:
            RefusedError: The file is what its publisher has, but not a usable model.
        """
        if path.suffix.lower() != ".gguf":
            return
        parts = self._complete(path, origin)
        if parts is None:
            return
        first, source = parts[0]
        hashes = {part.name: known.sha256 for part, known in parts}
        try:
            model = self._library.record_download(
                first, Origin(source.repo, source.commit, source.file, hashes), hashes
            )
        except StoreError as error:  # the file is there: the next look through the folder finds it
            _log.warning("A download is not in the index: %s", error.detail or error)
            return
        except BadModelFile as error:
            raise RefusedError(error.message, [part for part, _known in parts]) from error
        self._arrived(model)

    def _complete(self, path: Path, origin: Provenance) -> list[tuple[Path, Provenance]] | None:
        split = _PART.search(path.name)
        if split is None:
            return [(path, origin)]
        key = path.with_name(path.name[: split.start()])
        with self._lock:
            parts = self._parts.setdefault(key, {})
            parts[int(split[1])] = (path, origin)
            if len(parts) < int(split[2]):
                return None
            del self._parts[key]
        return [parts[number] for number in sorted(parts)]


def removable_of(library: Library) -> list[Removable]:
    """Return the models in our own folders, which could be deleted to make room; the unused ones first."""
    try:
        models = [
            model
            for model in library.listed()
            if model.source == "own"
            and not model.favourite
            and any(is_within(model.path, folder) for folder in library.own_folders)
        ]
    except StoreError:
        return []
    models.sort(key=lambda model: model.last_used)
    return [Removable(model.name, model.size) for model in models]
