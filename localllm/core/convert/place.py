"""Where a converted model goes, what it is called, and its place in the library."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from localllm.core.convert.source import FolderSource, HubSource, work_lock
from localllm.core.hub.addresses import is_address, parse_address
from localllm.core.library.model import Provenance
from localllm.errors import CheckpointRefused, UsageError
from localllm.paths import expand_home
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.convert.report import Report
    from localllm.core.hub.client import Hub
    from localllm.core.library import Library, LibraryModel
    from localllm.progress import Progress

_WORK = ".converting"  # below the models folder
_FORGOTTEN_SECONDS = 7 * 24 * 3600
_LOOKED_OVER_SECONDS = 3600  # what was fetched only to say what a conversion would give
_ODD = re.compile(r"[^\w.-]+")


def open_source(
    words: str, hub: Hub, models: Path, progress: Progress, *, keep: bool = False
) -> FolderSource | HubSource:
    """Return the checkpoint that somebody names: a folder, or a repository of the Hub.

    Args:
        words: A path, "owner/name", or a page of the Hub.
        hub: Asked for a repository.
        models: The folder of models, below which shards lie while they are needed.
        progress: Cancels.
        keep: Keep shards that were read until the conversion has ended.

    Raises:
        UsageError: It is neither.
        CheckpointRefused: There is no checkpoint in the repository.
        HubError: The Hub cannot be asked, or refuses.
    """
    folder = expand_home(words)
    if folder.exists() or not is_address(words, hub.endpoint):
        if not folder.is_dir():
            raise UsageError(
                text("“{words}” is neither a folder nor a repository of the Hub.", words=words[:200]),
                hint=text("A repository has two parts, as in “owner/name”."),
            )
        return FolderSource(folder.absolute())
    address = parse_address(words, hub.endpoint)
    repository = hub.repository(address.repository, address.revision, progress=progress)
    work = models / _WORK / repository.id.replace("/", "--")
    remove_forgotten(models)
    source = HubSource(hub, repository, work, delete_behind=not keep)
    try:
        source.prepare(progress)
    except BaseException as error:
        source.close()
        if isinstance(error, CheckpointRefused):
            source.remove()
        raise
    return source


def remove_forgotten(models: Path) -> None:
    """Remove what was fetched for conversions that nobody has gone on with.

    Shards are kept for a week; where there are none, the conversion was never begun.
    """
    for work in (models / _WORK).glob("*--*"):
        files = [path for path in work.rglob("*") if path.is_file()]
        begun = any(path.suffix in (".safetensors", ".part") for path in files)
        limit = time.time() - (_FORGOTTEN_SECONDS if begun else _LOOKED_OVER_SECONDS)
        with contextlib.suppress(OSError, Timeout):
            if all(path.stat().st_mtime < limit for path in files):
                with work_lock(work):
                    pass  # nobody uses it
                shutil.rmtree(work, ignore_errors=True)


def target_of(source: FolderSource | HubSource, output_type: str, models: Path, wanted: str | None) -> Path:
    """Return the file that a conversion writes.

    Args:
        source: The checkpoint.
        output_type: "F16".
        models: The folder of models, for when nothing else is wanted.
        wanted: A file ending in .gguf, or a folder.
    """
    name = f"{_ODD.sub('-', source.name) or 'model'}-{output_type}.gguf"
    if wanted is None:
        return models.joinpath(*source.place, name)
    path = expand_home(wanted).absolute()
    return path if path.suffix.lower() == ".gguf" else path / name


def register(
    library: Library, report: Report, source: FolderSource | HubSource, progress: Progress
) -> LibraryModel:
    """Put a converted model on the list, with the repository that it came from.

    Raises:
        BadModelFile: The gate refuses it.
    """
    path = Path(report.path)
    if isinstance(source, HubSource):
        origin = Provenance(source.repository.id, source.repository.commit)
        return library.record_download(path, origin, {}, progress)
    return library.add(path, progress)
