"""Asks the Hub whether a model's file is still the one that was downloaded."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from localllm.core.library.facts import facts_of
from localllm.core.library.upstream import UpstreamFile, compare_upstream
from localllm.errors import BadModelFile, UsageError
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.hub.client import Hub
    from localllm.core.hub.records import RemoteFile, Repository
    from localllm.core.library.index import Index
    from localllm.core.library.model import LibraryModel
    from localllm.core.library.upstream import UpstreamChange
    from localllm.progress import Progress


def ask_source(
    hub: Hub, index: Index, model: LibraryModel, cache: Path, progress: Progress
) -> UpstreamChange | None:
    """Return what has changed at the source since the download, None if nothing has.

    Args:
        hub: Asked for the repository, and for the header of a file that is another one now.
        index: Knows where the model came from.
        model: As the library lists it.
        cache: The folder of headers.
        progress: Cancels.

    Raises:
        UsageError: It is not known where the model came from.
        HubError: The Hub cannot be asked, or refuses.
    """
    origin = index.provenance(str(model.path))
    if origin is None or not origin.file or not origin.sha256 or not origin.repo:
        raise UsageError(
            text("It is not known which file of which repository “{name}” is.", name=model.name),
            hint=text("Only a model that was downloaded from the Hub can be compared with it."),
        )
    repository = hub.repository(origin.repo, progress=progress)
    known = set(origin.sha256.values())
    present: list[UpstreamFile] = []
    for file in repository.files:
        changed = file.name == origin.file and bool(file.sha256) and file.sha256 not in known
        template = _template_of(hub, repository, file, cache, progress) if changed else ""
        present.append(UpstreamFile(file.name, file.size, file.sha256 or "", repository.commit, template))
    return compare_upstream(model, origin, present)


def _template_of(hub: Hub, repository: Repository, file: RemoteFile, cache: Path, progress: Progress) -> str:
    from localllm.core.hub.headers import read_remote_header

    with contextlib.suppress(BadModelFile):
        return facts_of(read_remote_header(hub, repository, file, cache, progress).header).template_hash
    return ""
