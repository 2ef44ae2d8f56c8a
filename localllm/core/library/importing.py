"""Takes files into the library on wish: listed in place, linked, or copied; the source never changes."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from localllm.core.hub.names import safe_target
from localllm.core.library.duplicates import link, require_room_for
from localllm.core.library.found import FoundModel, find_in, look_at
from localllm.core.library.inspector import Inspector, refusal
from localllm.core.library.scan import inspect_model
from localllm.errors import LocalLLMError, UsageError
from localllm.files import move_into_place
from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.core.library.library import Library
    from localllm.core.library.model import LibraryModel
    from localllm.progress import Progress

Manner = Literal["place", "link", "copy"]
_COPY_BLOCK = 4 << 20  # bytes


@dataclass(frozen=True)
class ImportResult:
    """What became of one file: the model, or the reason why it was refused."""

    path: Path
    model: LibraryModel | None = None
    problem: Text | None = None


def import_path(library: Library, path: Path, manner: Manner, progress: Progress) -> list[ImportResult]:
    """Take a file, or all models in a folder, into the library.

    Raises:
        ModelNotFound: There is nothing of that name.
        Cancelled: Through `progress`, which gets bytes while it copies; half copies are deleted.
    """
    folder = path.is_dir()
    found = list(find_in(path.absolute(), "added", progress)) if folder else [look_at(path, "added")]
    results: list[ImportResult] = []
    with Inspector() as inspector:
        for model in found:
            path = Path(model.path)
            try:
                taken = _import_one(library, model, manner, inspector, progress)
                results.append(ImportResult(path, taken))
            except LocalLLMError as error:
                results.append(ImportResult(path, problem=error.message))
    return results


def _import_one(
    library: Library, found: FoundModel, manner: Manner, inspector: Inspector, progress: Progress
) -> LibraryModel:
    if manner == "place" or library.has_inside(Path(found.path)):
        return library.add(Path(found.path), progress, inspector)
    targets = [safe_target(library.folder, name) for name in _names_of(found)]
    _refuse_overwriting(targets)
    verdict = inspect_model(found, inspector, progress)
    if verdict.reason is not None:
        raise refusal(verdict)
    made: list[Path] = []
    try:
        for part, target in zip(found.parts, targets, strict=True):
            _bring(Path(part.path), target, manner, progress)
            made.append(target)
    except BaseException:
        for target in made:
            target.unlink(missing_ok=True)
        raise
    return library.add(targets[0], progress, inspector)


def _names_of(found: FoundModel) -> list[str]:
    if len(found.parts) > 1:
        return [Path(part.path).name for part in found.parts]
    own = Path(found.path).name
    return [
        own if own.lower().endswith(".gguf") else f"{found.name.replace('/', '_').replace(':', '-')}.gguf"
    ]


def _refuse_overwriting(targets: list[Path]) -> None:
    for target in targets:
        if target.exists():
            raise UsageError(
                text("“{path}” exists already.", path=str(target)),
                safe=text("Nothing was overwritten."),
                hint=text("Move or rename that file, then try again."),
            )


def _bring(source: Path, target: Path, manner: Manner, progress: Progress) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.import")
    temporary.unlink(missing_ok=True)
    try:
        if manner == "link":
            link(source, temporary)
        else:
            _copy(source, temporary, progress)
        move_into_place(temporary, target)
    except OSError as error:
        sentence = (
            text("“{name}” cannot be linked: {reason}.", name=source.name, reason=_reason(error))
            if manner == "link"
            else text("“{name}” cannot be copied: {reason}.", name=source.name, reason=_reason(error))
        )
        hint = text("Import it with --copy, or leave it in its place.") if manner == "link" else None
        raise UsageError(sentence, safe=text("The file itself is untouched."), hint=hint) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _copy(source: Path, target: Path, progress: Progress) -> None:
    require_room_for(source, target.parent)
    done, size = 0, source.stat().st_size
    with source.open("rb") as old, target.open("xb") as new:
        while block := old.read(_COPY_BLOCK):
            new.write(block)
            done += len(block)
            progress.update(done, size)
        new.flush()
        os.fsync(new.fileno())
    shutil.copystat(source, target)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
