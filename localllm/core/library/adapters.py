"""The LoRA adapters on this disk: listed apart from the models, for none of them answers by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from localllm.core.library.inspector import Inspector, refusal
from localllm.errors import AdapterRefused, ModelNotFound
from localllm.gguf import read_header
from localllm.gguf.adapters import check_adapter, check_layable
from localllm.paths import expand_home
from localllm.progress import Progress
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.library.library import Library
    from localllm.core.library.model import Source
    from localllm.engine.protocol import Adapter
    from localllm.gguf import GgufHeader

_LISTED = """
    SELECT name, path, size, architecture, parameters, source FROM models
    WHERE kind = 'adapter' AND path NOT IN (SELECT path FROM marks WHERE hidden) ORDER BY lower(name), path
"""


@dataclass(frozen=True)
class LibraryAdapter:
    """A LoRA adapter: `size` in bytes, `architecture` of the models that it can be laid over."""

    name: str
    path: Path
    size: int
    architecture: str
    parameters: int
    source: Source = "folder"


def list_adapters(library: Library, search: str = "") -> list[LibraryAdapter]:
    """Return the adapters as they were seen last, by name, those in which every word of `search` occurs.

    Raises:
        StoreError: The index cannot be read.
    """
    words = search.lower().split()
    with library.index.reading() as db:
        found = [
            LibraryAdapter(
                row["name"], Path(row["path"]), row["size"], row["architecture"], row["parameters"] or 0,
                cast("Source", row["source"]),
            )
            for row in db.execute(_LISTED)
        ]  # fmt: skip
    return [one for one in found if all(word in f"{one.path} {one.architecture}".lower() for word in words)]


def look_for_adapters(library: Library, progress: Progress) -> list[LibraryAdapter]:
    """Look through the model folders, then list.

    Raises:
        StoreError: The index cannot be used.
        Cancelled: Through `progress`.
    """
    library.scan(progress, applications=False)
    return list_adapters(library)


def take_adapter(library: Library, path: Path, progress: Progress) -> LibraryAdapter:
    """Put an adapter's file on the list where it lies, after the inspector has seen it.

    Raises:
        ModelNotFound: There is no such file.
        AdapterRefused: It is no adapter.
        BadModelFile: It is broken.
    """
    path = path.absolute()
    with Inspector() as inspector:
        verdict = inspector.inspect(path, progress)
        if verdict.facts is None:
            raise refusal(verdict)
        if verdict.facts.kind != "adapter":
            raise AdapterRefused(
                text("“{name}” is not an adapter.", name=path.name),
                hint=text("Choose a file that was converted from a LoRA adapter."),
            )
        library.add(path, progress, inspector)
    facts = verdict.facts
    return LibraryAdapter(path.stem, path, facts.file_size, facts.architecture, facts.parameters)


def bytes_of(adapters: Sequence[Adapter]) -> int:
    """Return what the files of adapters take, those that are gone left out."""
    return sum(path.stat().st_size for one in adapters if (path := Path(one.path)).is_file())


def check_layable_all(adapters: Sequence[Adapter], model: GgufHeader) -> None:
    """Refuse adapters that cannot be laid over a model, before anything is loaded.

    Raises:
        AdapterRefused: One was made for another model.
        BadModelFile, ModelNotFound: One is broken, or gone.
    """
    for one in adapters:
        header = read_header(Path(one.path))
        check_adapter(header)
        check_layable(header, model)


def find_adapters(library: Library, adapters: Sequence[Adapter]) -> tuple[Adapter, ...]:
    """Return adapters that are named by a path or as the library calls them with their paths.

    Raises:
        ModelNotFound: There is no such adapter, or there are several.
    """
    return tuple(replace(one, path=str(_find(library, one.path).absolute())) for one in adapters)


def _find(library: Library, name_or_path: str) -> Path:
    path = expand_home(name_or_path)
    if path.is_file() or name_or_path.endswith(".gguf"):
        return path
    adapters = look_for_adapters(library, Progress())
    matches = [one for one in adapters if one.name.lower() == name_or_path.lower()]
    if len(matches) != 1:
        names = ", ".join(str(one.path) if matches else one.name for one in (matches or adapters)[:8])
        raise ModelNotFound(
            text(
                "Several adapters are called “{name}”." if matches else "No adapter is called “{name}”.",
                name=name_or_path,
            ),
            hint=text("Choose one of: {names}.", names=names or "–"),
        )
    return matches[0].path
