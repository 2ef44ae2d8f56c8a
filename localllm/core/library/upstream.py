"""Notices that the Hub has another file now under the name that a model was downloaded by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from localllm.core.library.model import LibraryModel, Provenance


@dataclass(frozen=True)
class UpstreamFile:
    """A file as the Hub has it now; `template_hash` only where its header has been read."""

    name: str
    size: int
    sha256: str
    commit: str
    template_hash: str = ""


@dataclass(frozen=True)
class UpstreamChange:
    """What is different at the source; `sentence` says it."""

    gone: bool
    commit: str
    sentence: Text


def compare_upstream(
    model: LibraryModel, origin: Provenance, present: Iterable[UpstreamFile]
) -> UpstreamChange | None:
    """Return what has changed at the source since the download, None if nothing that matters.

    Args:
        model: As the library lists it.
        origin: Where it came from, with the hashes of that time.
        present: The repository's files now.
    """
    if not origin.file or not origin.sha256:
        return None
    files = {file.name: file for file in present}
    now = files.get(origin.file)
    if now is None:
        sentence = text("“{file}” is no longer in {repo}.", file=origin.file, repo=origin.repo)
        return UpstreamChange(gone=True, commit="", sentence=sentence)
    folder = origin.file.rpartition("/")[0]
    changed = [
        name
        for name, expected in origin.sha256.items()
        if _hash_now(files, folder, name, expected) != expected
    ]
    if not changed:
        return None
    return UpstreamChange(gone=False, commit=now.commit, sentence=_sentence(model, origin, now))


def _hash_now(files: Mapping[str, UpstreamFile], folder: str, name: str, expected: str) -> str:
    file = files.get(f"{folder}/{name}" if folder else name)
    return (file.sha256 or expected) if file else ""


def _sentence(model: LibraryModel, origin: Provenance, now: UpstreamFile) -> Text:
    details: list[Text] = []
    if model.parts == 1 and now.size != model.size:
        details.append(text("its size is {now}, yours {own}", now=Bytes(now.size), own=Bytes(model.size)))
    if now.template_hash and now.template_hash != model.template_hash:
        details.append(text("its chat template is another one"))
    if not details:
        details.append(text("its content differs, size and template are the same"))
    joined = details[0] if len(details) == 1 else text("{one} and {other}", one=details[0], other=details[1])
    return text(
        "{repo} has replaced “{file}”: {changes}.",
        repo=origin.repo,
        file=origin.file,
        changes=joined,
    )
