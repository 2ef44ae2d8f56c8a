"""From a checkpoint to a GGUF file: keys, then tensors, under a temporary name until everything is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.convert.architectures.entry import FileType, Setting
from localllm.core.convert.metadata import add_metadata, add_sampling
from localllm.core.convert.naming import ParameterCounts
from localllm.core.convert.streaming import Streaming
from localllm.core.convert.vocabulary import add_vocabulary, check_rows
from localllm.core.unfinished import reserve
from localllm.gguf.keys import Key, Keys
from localllm.gguf.writer import TensorPlace, header_bytes, offsets, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from localllm.core.convert.architectures.entry import KeySource
    from localllm.core.convert.plan import Plan
    from localllm.core.convert.safetensors import Shard
    from localllm.progress import Progress
    from localllm.texts import Text

_QUANTIZATION_VERSION = 2


@dataclass(frozen=True, slots=True)
class Ready:
    """A file that only has to be written: its header as it stands, its tensors still in the checkpoint.

    Attributes:
        notes: What the person should know.
    """

    plan: Plan
    header: bytes
    notes: tuple[Text, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header) + offsets(_places(self.plan))[-1]


def make_ready(plan: Plan) -> Ready:
    """Make the header: keys in the reference's order, vocabulary, the table of tensors.

    Raises:
        CheckpointRefused: The vocabulary, or a value of config.json, cannot be used.
    """
    architecture, origin, places = plan.architecture, plan.origin, _places(plan)
    keys = Keys()
    keys.set("general.architecture", "string", architecture.name)
    _add(keys, architecture.early_keys, plan)
    keys.set("general.type", "string", "model")
    add_sampling(keys, origin.folder)
    counts = ParameterCounts.of((place.name, place.shape) for place in places)
    notes = add_metadata(keys, origin.folder, counts)
    _add(keys, architecture.keys, plan)
    keys.set("general.quantization_version", "u32", _QUANTIZATION_VERSION)
    vocabulary = add_vocabulary(keys, origin.folder, origin.config.values, architecture.vocabulary)
    embedding = next(place for place in places if place.name == "token_embd.weight")
    check_rows(vocabulary, embedding.shape[0])
    if architecture.finish:
        _set_all(keys, architecture.finish(origin), architecture.name)
    return Ready(plan, header_bytes(keys, places), (*notes, *vocabulary.notes))


def write_file(
    ready: Ready, path: Path, progress: Progress, on_read: Callable[[Shard], None] | None = None
) -> dict[str, int]:
    """Write the whole file and have it on the disk; return how many values became infinite, by tensor.

    `on_read` is told each shard that is not needed any more.

    Raises:
        CheckpointRefused: A shard cannot be read.
        OSError: The disk is full, or another fault of it.
        Cancelled: The progress was cancelled.
    """
    with path.open("xb", buffering=0) as file:
        reserve(path, ready.size)
        file.truncate(ready.size)
        write_all(file, memoryview(ready.header))
        overflows = Streaming(ready.plan.tensors, path, len(ready.header), on_read).run(progress)
        os.fsync(file.fileno())
    return overflows


def _places(plan: Plan) -> list[TensorPlace]:
    return [planned.place for planned in plan.tensors]


def _add(keys: Keys, sources: Iterable[KeySource], plan: Plan) -> None:
    for source in sources:
        if isinstance(source, FileType):
            keys.set("general.file_type", "u32", plan.file_type)
        else:
            made = source.keys(plan.origin) if isinstance(source, Setting) else source(plan.origin)
            _set_all(keys, made, plan.architecture.name)


def _set_all(keys: Keys, made: Iterable[Key], architecture: str) -> None:
    for key in made:
        whole = key.name.startswith(("general.", "tokenizer."))
        keys.set(key.name if whole else f"{architecture}.{key.name}", key.type, key.value)
