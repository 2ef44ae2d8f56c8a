"""Brings the index up to date with the disk; a header is read again only when its file has changed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.library.facts import put_together
from localllm.core.library.found import find_in, find_one, unique
from localllm.core.library.inspector import inspect_here
from localllm.core.library.model import Inspection
from localllm.core.library.records import carry_over, forget, mark_away, write_model
from localllm.gguf.header import refuse
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from localllm.core.library.found import FoundModel
    from localllm.core.library.index import Index
    from localllm.core.library.inspector import Inspector
    from localllm.core.library.model import Source
    from localllm.progress import Progress

_log = logging.getLogger(__name__)
_BATCH_SECONDS = 1.0  # what has been inspected is kept at least so often


@dataclass(frozen=True)
class ScanResult:
    """What a scan found: numbers of models."""

    models: int = 0
    added: int = 0
    changed: int = 0
    gone: int = 0


@dataclass(frozen=True)
class _Known:
    path: str
    source: Source
    name: str
    signature: str


def own_models(own: Sequence[Path], folders: Sequence[Path], progress: Progress) -> Iterator[FoundModel]:
    """Yield what lies in the application's own folders and in those that the user added."""
    seen: list[Path] = []
    for place, folder in enumerate((*own, *folders)):
        resolved = folder.resolve()
        if not any(resolved.is_relative_to(other) for other in seen):
            seen.append(resolved)
            yield from find_in(resolved, "own" if place < len(own) else "folder", progress)


def update(
    index: Index,
    found: Iterable[FoundModel],
    sources: set[Source],
    inspector: Inspector,
    progress: Progress,
    away: Sequence[Path] = (),
) -> ScanResult:
    """Bring the index up to date with what was found in places of these sources.

    Models of other sources are looked at where they are known to be. What is gone leaves the list, but for
    what lies in a folder that is `away`, on a disk that was removed; a file that was renamed keeps its notes.
    """
    known = _read_known(index)
    present: dict[str, FoundModel] = {}
    elsewhere = (now for one in known.values() if one.source not in sources and (now := _revisit(one)))
    for model in unique(chain(found, elsewhere)):
        progress.raise_if_cancelled()
        present.setdefault(model.path, model)
    todo = [m for m in present.values() if m.path not in known or known[m.path].signature != m.signature]
    gone = [path for path in known if path not in present]
    if away and gone:
        gone = _without_away(index, gone, known, away)
    if todo or gone:
        _write(index, todo, known, gone, inspector, progress)
    added = sum(1 for model in todo if model.path not in known)
    return ScanResult(len(present), added, len(todo) - added, len(gone))


def _without_away(
    index: Index, gone: Sequence[str], known: dict[str, _Known], away: Sequence[Path]
) -> list[str]:
    """Mark the models in folders that are away; return those that are really gone."""
    home = {path: folder for path in gone for folder in away if Path(path).is_relative_to(folder)}
    news = [path for path in home if known[path].signature]
    if news:
        with index.writing() as db:
            for path in news:
                mark_away(db, path, known[path].name, home[path])
    return [path for path in gone if path not in home]


def inspect_model(found: FoundModel, inspector: Inspector, progress: Progress) -> Inspection:
    """Return the verdict on all files of a model together."""
    path = Path(found.path)
    if found.source == "starter":  # it comes with the application
        return inspect_here(path)
    if found.missing:
        sentence = (
            text("part {number} of {count} is missing", number=found.lacking, count=len(found.parts) + 1)
            if found.missing == 1
            else text("{count} of its parts are missing", count=found.missing)
        )
        return Inspection(path, reason=refuse(path, sentence).message)
    facts = [inspector.inspect(path, progress)]
    if len(found.parts) > 1 and facts[0].ok:
        facts += [inspector.inspect(Path(part.path), progress) for part in found.parts[1:]]
    for verdict in facts:
        if verdict.facts is None or verdict.reason is not None:
            return replace(verdict, path=path)
    together = [verdict.facts for verdict in facts if verdict.facts is not None]
    if not together[0].architecture:  # a later part under a name of its own
        return Inspection(path, reason=refuse(path, text("it is one part of a split model")).message)
    if len(together) > 1 and any(one.split_count != len(together) for one in together):
        return Inspection(path, reason=refuse(path, text("its parts do not belong together")).message)
    return Inspection(path, put_together(together) if len(together) > 1 else together[0])


def _write(
    index: Index,
    todo: list[FoundModel],
    known: dict[str, _Known],
    gone: list[str],
    inspector: Inspector,
    progress: Progress,
) -> None:
    renamed = _find_renamed(todo, [known[path] for path in gone])
    with index.writing() as db:
        for new, old in renamed.items():
            carry_over(db, old, new)
        forget(db, gone)
    done: list[tuple[FoundModel, Inspection]] = []
    since = time.monotonic()
    try:
        for number, model in enumerate(todo):
            progress.update(number, len(todo), text("{name}", name=model.name))
            done.append((model, inspect_model(model, inspector, progress)))
            if time.monotonic() - since > _BATCH_SECONDS:
                _keep(index, done)
                since = time.monotonic()
    finally:
        _keep(index, done)


def _keep(index: Index, done: list[tuple[FoundModel, Inspection]]) -> None:
    if done:
        with index.writing() as db:
            for model, inspection in done:
                write_model(db, model, inspection)
        done.clear()


def _read_known(index: Index) -> dict[str, _Known]:
    with index.reading() as db:
        rows = db.execute("SELECT path, source, name, signature FROM models").fetchall()
    return {row["path"]: _Known(*row) for row in rows}


def _revisit(known: _Known) -> FoundModel | None:
    """Look at a model where it was, without its application's own files."""
    try:
        return replace(find_one(Path(known.path), known.source), name=known.name)
    except OSError:
        return None


def _find_renamed(todo: list[FoundModel], gone: list[_Known]) -> dict[str, str]:
    """Return new path → old path of files that are the same as one that is gone."""
    by_signature = {one.signature: one.path for one in gone}
    return {m.path: by_signature[m.signature] for m in todo if m.signature in by_signature}
