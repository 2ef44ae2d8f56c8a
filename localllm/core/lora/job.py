"""Converting and merging adapters as the rest of the program sees it; a process of its own does the work."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.core.convert.writing import WritingProcess, new_file, refuse_overwriting
from localllm.core.library.found import files_of, look_at
from localllm.core.library.inspector import Inspector, refusal
from localllm.core.library.scan import inspect_model
from localllm.core.measuring_lock import working
from localllm.engine.protocol import to_record, unpack_text
from localllm.errors import BrokenResult, LocalLLMError, UsageError
from localllm.gguf import read_header
from localllm.gguf.adapters import check_adapter
from localllm.gguf.header import unreadable
from localllm.texts import plural, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.lora.conversion import AdapterType
    from localllm.engine.protocol import Adapter
    from localllm.processes import Message
    from localllm.progress import Progress
    from localllm.texts import Text

_CHILD_MODULE = "localllm.core.lora.child"


@dataclass(frozen=True)
class LoraReport:
    """What was made: `size` in bytes, `notes` what a person should know."""

    path: Path
    size: int
    notes: tuple[Text, ...]
    seconds: float


def convert_adapter(
    folder: Path, base: Path, target: Path, output_type: AdapterType, progress: Progress
) -> LoraReport:
    """Write a PEFT adapter as GGUF.

    Args:
        folder: With adapter_config.json and adapter_model.safetensors.
        base: With the config.json of the model that it was made for.
        target: The file to write, which must not exist.
        output_type: What its weights become.
        progress: Gets bytes of the result, and the name of the tensor; cancels.

    Raises:
        CheckpointRefused: It cannot be converted, or does not fit on the disk.
        UsageError: There is a file of that name.
        Cancelled: Through `progress`; nothing is left.
    """
    order = {"folder": str(folder), "base": str(base), "type": output_type}
    return _run(order, target, progress, _is_adapter)


def merge_adapters(
    model: Path,
    adapters: Sequence[Adapter],
    target: Path,
    progress: Progress,
    *,
    check: Callable[[Path, Progress], object] | None = None,
) -> LoraReport:
    """Write a model with adapters merged into it.

    Args:
        model: A GGUF file, or the first part of a split model.
        adapters: GGUF adapters that were made for it, and their strengths.
        target: The file to write, which must not exist.
        progress: Gets bytes of the result, and the name of the tensor; cancels.
        check: Tries the finished file before it has its name; what it raises ends the merge.

    Raises:
        AdapterRefused: An adapter was made for another model.
        BadModelFile, ModelNotFound: A file is broken, or gone.
        CheckpointRefused: It does not fit on the disk, or the model cannot be merged into.
        UsageError: There is a file of that name.
        BrokenResult: Through `check`.
        Cancelled: Through `progress`; nothing is left.
    """
    if not any(adapter.strength for adapter in adapters):
        raise UsageError(text("With strength 0 nothing would be merged."))
    order = {
        "model": [str(path) for path in _passed(model, adapters, progress)],
        "adapters": [to_record(adapter) for adapter in adapters],
    }
    return _run(order, target, progress, check)


def _passed(model: Path, adapters: Sequence[Adapter], progress: Progress) -> list[Path]:
    """Return the files of a model that the inspector has seen, with the adapters."""
    found = look_at(model, "folder")
    with Inspector() as inspector:
        verdicts = [inspect_model(found, inspector, progress)]
        verdicts += [inspector.inspect(Path(adapter.path).absolute(), progress) for adapter in adapters]
    for verdict in verdicts:
        if verdict.reason is not None or verdict.facts is None:
            raise refusal(verdict)
    if verdicts[0].facts is not None and verdicts[0].facts.kind != "model":
        raise UsageError(text("“{name}” is not a language model.", name=model.name))
    try:
        return files_of(Path(found.path))
    except OSError as error:
        raise unreadable(model, error) from error


def _is_adapter(path: Path, _progress: Progress) -> None:
    try:
        check_adapter(read_header(path))
    except LocalLLMError as error:
        raise BrokenResult(
            text("The result does not work: {reason}", reason=error.message), detail=error.detail
        ) from error


def _run(
    order: dict[str, Any],
    target: Path,
    progress: Progress,
    check: Callable[[Path, Progress], object] | None,
) -> LoraReport:
    began = time.monotonic()
    refuse_overwriting(target)
    with _Worker(_CHILD_MODULE, order) as worker:
        size = worker.wait_until_ready(progress)
        doing = text("The work on “{name}”", name=target.name)
        with working(doing, progress), new_file(target, size) as temporary:
            try:
                worker.write(temporary, progress)
                if check:
                    check(temporary, progress)
                progress.raise_if_cancelled()
            finally:
                worker.stop()
    return LoraReport(target, size, tuple(worker.notes), time.monotonic() - began)


class _Worker(WritingProcess):
    """The process that converts or merges adapters."""

    def __init__(self, module: str, order: Message) -> None:
        self.notes: list[Text] = []
        super().__init__(module, order)

    def wait_until_ready(self, progress: Progress) -> int:
        """Return the bytes of the file that it will write."""
        message = self._next("ready", progress)
        self.notes += [unpack_text(note) for note in message["notes"]]
        return message["size"]

    def write(self, path: Path, progress: Progress) -> None:
        self._begin(path)
        if overflows := self._next("done", progress)["overflows"]:
            self.notes.append(
                plural(
                    overflows,
                    "{count} weight is too large for F16 and became infinite.",
                    "{count} weights are too large for F16 and became infinite.",
                )
            )
