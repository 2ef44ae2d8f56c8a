"""What the Lab does in jobs to convert: look the checkpoint over first, then write the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.downloads.space import free_bytes
from localllm.core.models_folder import require_models_folder
from localllm.core.time_left import TimedProgress, duration
from localllm.errors import CheckpointRefused
from localllm.texts import Bytes, Text, text
from localllm.ui.lab_work import Outcome, Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.core.convert.plan import OutputType
    from localllm.core.convert.report import Preview
    from localllm.core.lora.conversion import AdapterType
    from localllm.core.quantize.types import QuantType
    from localllm.progress import Progress
    from localllm.ui.services import Services


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was looked over.

    Attributes:
        words: How somebody named it.
        wanted: The type that was asked for.
        download: Bytes that will be fetched; 0 for a folder.
        room: Bytes that they take at once.
        free: Bytes on the disk of the folder that the file goes into.
        out: The folder that was chosen for it, if one was.
    """

    words: str
    name: str
    wanted: OutputType
    preview: Preview
    target: Path
    download: int
    room: int
    free: int
    out: Path | None = None


@dataclass(frozen=True)
class AdapterFound:
    """A LoRA adapter where a checkpoint might have been; `base` is what it says it was made for."""

    words: str
    name: str
    base: str


def look_over(
    services: Services, words: str, wanted: OutputType, out: Path | None, progress: Progress
) -> Checkpoint | AdapterFound:
    """Say what would become of what somebody names; `out` is a folder for it, None that of the models.

    Raises:
        UsageError: It is neither a folder nor a repository.
        CheckpointRefused: It cannot be converted.
        HubError: The Hub cannot be asked, or refuses.
        Cancelled: Through `progress`.
    """
    from localllm.core.convert.job import preview
    from localllm.core.convert.place import open_source, target_of
    from localllm.core.convert.source import HubSource
    from localllm.core.lora.folder import open_adapter
    from localllm.core.lora.place import Places

    hub, models = services.hub.hub(), services.paths.models
    places = Places(hub, models)
    if folder := places.find_adapter(words, progress):
        found = AdapterFound(words, folder.name, open_adapter(folder).base)
        places.remove_fetched(folder)
        return found
    source = open_source(words, hub, models, progress)
    fetched = source if isinstance(source, HubSource) else None
    try:
        made = preview(source, wanted, progress)
    except CheckpointRefused:
        if fetched is not None:
            fetched.remove()
        raise
    finally:
        source.close()
    target = target_of(source, made.output_type, models, _wanted(out))
    download, free = fetched.weights if fetched is not None else 0, free_bytes(out or models)
    return Checkpoint(words, source.name, wanted, made, target, download, source.room, free, out)


def convert_task(services: Services, found: Checkpoint, kinds: Sequence[QuantType]) -> Task:
    """Return the task that converts, and then lets the result be quantized."""
    title = text("{name} to {type}", name=found.name, type=found.preview.output_type)
    return Task(title, lambda progress: _convert(services, found, kinds, progress), "convert")


def adapter_task(
    services: Services, found: AdapterFound, base: str, wanted: AdapterType, out: Path | None
) -> Task:
    """Return the task that converts an adapter; `base` is a folder or a repository."""
    title = text("Adapter {name} to {type}", name=found.name, type=wanted.upper())
    return Task(
        title, lambda progress: _convert_adapter(services, found, base, wanted, out, progress), "convert"
    )


def _convert(
    services: Services, found: Checkpoint, kinds: Sequence[QuantType], progress: Progress
) -> Outcome:
    from localllm.core.convert.job import convert
    from localllm.core.convert.place import open_source, register, target_of
    from localllm.core.convert.source import HubSource
    from localllm.core.quantize.order import Order
    from localllm.core.quantize.plan import Wish
    from localllm.core.smoke_test import smoke_test
    from localllm.ui.pages.lab_quantize_jobs import quantize_task

    models = services.paths.models
    if found.out is None:
        require_models_folder(services.paths)
    source = open_source(found.words, services.hub.hub(), models, progress)
    try:
        report = convert(
            source,
            lambda made: target_of(source, made.output_type, models, _wanted(found.out)),
            found.wanted,
            TimedProgress(progress),
            check=smoke_test,
        )
    finally:
        source.close()
    model = register(services.library, report, source, progress)
    if isinstance(source, HubSource):
        source.remove()
    made = _made(model.path, model.size, report.seconds)
    then = tuple(quantize_task(services, model.name, Order(model.path, Wish(kind))) for kind in kinds)
    return Outcome((made, *report.sentences()), model, then=then)


def _convert_adapter(
    services: Services,
    found: AdapterFound,
    base: str,
    wanted: AdapterType,
    out: Path | None,
    progress: Progress,
) -> Outcome:
    from localllm.core.convert.place import target_of
    from localllm.core.convert.source import FolderSource
    from localllm.core.library.adapters import take_adapter
    from localllm.core.lora.job import convert_adapter
    from localllm.core.lora.place import Places

    if out is None:
        require_models_folder(services.paths)
    places = Places(services.hub.hub(), services.paths.models)
    folder = places.find_adapter(found.words, progress)
    if folder is None:
        raise CheckpointRefused(text("The adapter “{name}” is no longer there.", name=found.name))
    base_folder = places.find_base(folder, base or None, progress)
    target = target_of(FolderSource(folder), wanted.upper(), services.paths.models, _wanted(out))
    report = convert_adapter(folder, base_folder, target, wanted, TimedProgress(progress))
    take_adapter(services.library, report.path, progress)
    places.remove_fetched(folder, base_folder)
    use = text("Add it to a chat in the chat's settings.")
    return Outcome((_made(report.path, report.size, report.seconds), *report.notes, use))


def _wanted(out: Path | None) -> str | None:
    return str(out) if out is not None else None


def _made(path: Path, size: int, seconds: float) -> Text:
    return text("{name}: {size}, made in {time}.", name=path.name, size=Bytes(size), time=duration(seconds))
