"""A conversion as the rest of the program sees it: looked over first, then written by a process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from localllm.core.convert.report import Preview, Report
from localllm.core.convert.writing import WritingProcess, new_file, nothing_written, refuse_overwriting
from localllm.core.measuring_lock import working
from localllm.engine.protocol import from_record, unpack_text
from localllm.errors import LocalLLMError
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from localllm.core.convert.plan import OutputType
    from localllm.processes import Message
    from localllm.progress import Progress

_CHILD_MODULE = "localllm.core.convert.child"
_SILENT_SECONDS = 0.5  # without a word of the converter, after which it waits for the download


class Source(Protocol):
    """A checkpoint that lies in a folder, or is on its way there."""

    @property
    def folder(self) -> Path:
        """Where its files are."""
        ...

    @property
    def coming(self) -> Mapping[str, int]:
        """Bytes of the shards that are still on their way, by name."""
        ...

    @property
    def programs(self) -> tuple[str, ...]:
        """Files of a repository that are left where they are."""
        ...

    @property
    def room(self) -> int:
        """Bytes that it will take on the disk besides what is there."""
        ...

    def begin(self, arrived: Callable[[str | Text | LocalLLMError], None]) -> None:
        """Begin to bring the shards, in order; told are what it is at, each one's name, or why it fails."""
        ...

    def was_read(self, name: str) -> None:
        """A shard is not needed any more."""
        ...

    def close(self) -> None:
        """Stop bringing anything."""
        ...


def preview(source: Source, output_type: OutputType, progress: Progress) -> Preview:
    """Say what a conversion would make; takes seconds and writes nothing.

    Raises:
        CheckpointRefused: It cannot be converted.
        Cancelled: Through `progress`.
    """
    with _Conversion(source, output_type) as conversion:
        return conversion.preview(progress)


def convert(
    source: Source,
    target: Callable[[Preview], Path],
    output_type: OutputType,
    progress: Progress,
    *,
    check: Callable[[Path, Progress], object] | None = None,
    on_preview: Callable[[Preview], object] | None = None,
) -> Report:
    """Write a checkpoint as GGUF.

    Args:
        source: The checkpoint; it is closed when the writing has ended.
        target: Names the file to write, which must not exist, once it is known what it will be.
        output_type: What most weights become.
        progress: Gets bytes of the result, and the name of the tensor.
        check: Tries the finished file before it has its name; what it raises ends the conversion.
        on_preview: Told what will be made before a byte is.

    Raises:
        CheckpointRefused: It cannot be converted, or does not fit on the disk.
        UsageError: There is a file of that name.
        BrokenResult: Through `check`.
        Cancelled: Through `progress`; nothing is left.
    """
    began = time.monotonic()
    with _Conversion(source, output_type) as conversion:
        made = conversion.preview(progress)
        path = target(made)
        refuse_overwriting(path)
        if on_preview:
            on_preview(made)
        doing = text("The conversion of “{name}”", name=path.name)
        with working(doing, progress), new_file(path, made.size + source.room) as temporary:
            try:
                overflows = conversion.write(temporary, progress)
                if check:
                    check(temporary, progress)
                progress.raise_if_cancelled()
            finally:
                source.close()
                conversion.stop()
    return Report(str(path), made, overflows, conversion.notes, time.monotonic() - began)


class _Conversion(WritingProcess):
    """The process that converts, and the source that brings it shards."""

    def __init__(self, source: Source, output_type: OutputType) -> None:
        self._source = source
        self.notes: tuple[Text, ...] = ()
        self._heard = 0.0
        self._done = (0.0, 0.0)
        order = {
            "folder": str(source.folder),
            "type": output_type,
            "coming": dict(source.coming),
            "programs": list(source.programs),
        }
        super().__init__(_CHILD_MODULE, order)

    def preview(self, progress: Progress) -> Preview:
        message = self._next("preview", progress)
        self.notes = tuple(unpack_text(note) for note in message["notes"])
        return from_record(Preview, message["preview"])

    def write(self, path: Path, progress: Progress) -> dict[str, int]:
        self._begin(path)
        if self._source.coming:
            self._source.begin(lambda said: self._events.put({"event": "source", "said": said}))
        return self._next("done", progress)["overflows"]

    def _take(self, event: Message, progress: Progress) -> None:
        if event["event"] == "source":
            self._hear(event["said"], progress)
        elif event["event"] == "read":
            self._source.was_read(event["name"])
        else:
            if event["event"] == "progress":
                self._heard, self._done = time.monotonic(), (event["done"], event["total"])
            super()._take(event, progress)

    def _hear(self, said: str | Text | LocalLLMError, progress: Progress) -> None:
        """Take what the source says: a shard is there, what it is at, or why it fails."""
        if isinstance(said, LocalLLMError):
            raise nothing_written(said)
        if isinstance(said, str):
            self._child.send({"arrived": said})
        elif time.monotonic() - self._heard > _SILENT_SECONDS:
            progress.update(*self._done, said)
