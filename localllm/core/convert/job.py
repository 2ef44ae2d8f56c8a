"""A conversion as the rest of the program sees it: looked over first, then written by a process of its own.

The file has a temporary name until everything is in it and it was tried; killing any process leaves nothing
under its final name, and what a killed one has left is removed when the next conversion begins.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import shutil
import time
from typing import TYPE_CHECKING, Any, Protocol

from localllm.core.convert.report import Preview, Report
from localllm.core.unfinished import remove_left_over, unfinished_name
from localllm.engine.protocol import error_from_record, from_record, unpack_text
from localllm.errors import CheckpointRefused, LocalLLMError, UsageError
from localllm.files import move_into_place
from localllm.processes import Child, Death, Message, python_arguments
from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from localllm.core.convert.plan import OutputType
    from localllm.progress import Progress

_CHILD_MODULE = "localllm.core.convert.child"
_KEPT_FREE = 512 << 20  # bytes that stay free for others
_POLL_SECONDS = 0.1
_SILENT_SECONDS = 0.5  # without a word of the converter, after which it waits for the download
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOTHING_WRITTEN = text("Nothing was written.")


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
    with _Worker(source, output_type) as worker:
        return worker.preview(progress)


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
    with _Worker(source, output_type) as worker:
        made = worker.preview(progress)
        path = target(made)
        refuse_overwriting(path)
        if on_preview:
            on_preview(made)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_left_over(path.parent)
            require_room(path.parent, made.size + source.room)
            temporary = unfinished_name(path)
            try:
                overflows = worker.write(temporary, progress)
                if check:
                    check(temporary, progress)
                progress.raise_if_cancelled()
                move_into_place(temporary, path)
            finally:
                source.close()
                worker.stop()
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error.errno, error.strerror or str(error), path.parent) from error
    return Report(str(path), made, overflows, worker.notes, time.monotonic() - began)


def refuse_overwriting(path: Path) -> None:
    """Refuse a name that is taken.

    Raises:
        UsageError: There is a file of that name.
    """
    if path.exists():
        raise UsageError(
            text("“{path}” exists already.", path=str(path)),
            safe=text("Nothing was overwritten."),
            hint=text("Choose another name, or move that file."),
        )


class _Worker:
    """The process, and what it says."""

    def __init__(self, source: Source, output_type: OutputType) -> None:
        self._source = source
        self._folder = source.folder
        self.notes: tuple[Text, ...] = ()
        self._events: queue.SimpleQueue[Message | Death | str | Text | LocalLLMError] = queue.SimpleQueue()
        self._child = Child(
            python_arguments(_CHILD_MODULE), on_message=self._events.put, on_death=self._events.put
        )
        self._heard = 0.0
        self._done = (0.0, 0.0)
        self._child.send(
            {
                "folder": str(source.folder),
                "type": output_type,
                "coming": dict(source.coming),
                "programs": list(source.programs),
            }
        )

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        self._child.kill()

    def preview(self, progress: Progress) -> Preview:
        message = self._next("preview", progress)
        self.notes = tuple(unpack_text(note) for note in message["notes"])
        return from_record(Preview, message["preview"])

    def write(self, path: Path, progress: Progress) -> dict[str, int]:
        self._folder = path.parent
        self._child.send({"write": str(path)})
        if self._source.coming:
            self._source.begin(self._events.put)
        return self._next("done", progress)["overflows"]

    def _next(self, wanted: str, progress: Progress) -> Message:
        """Return the next message of a kind; what else comes until then is dealt with."""
        while True:
            progress.raise_if_cancelled()
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=_POLL_SECONDS)
                if isinstance(event, LocalLLMError):
                    event.safe = event.safe or NOTHING_WRITTEN
                    raise event
                if isinstance(event, Text):
                    self._tell_of_waiting(event, progress)
                elif isinstance(event, str):
                    self._child.send({"arrived": event})
                elif isinstance(event, Death):
                    raise _died(event)
                elif event["event"] == wanted:
                    return event
                else:
                    self._take(event, progress)

    def _tell_of_waiting(self, note: Text, progress: Progress) -> None:
        if time.monotonic() - self._heard > _SILENT_SECONDS:
            progress.update(*self._done, note)

    def _take(self, event: Message, progress: Progress) -> None:
        if event["event"] == "progress":
            self._heard, self._done = time.monotonic(), (event["done"], event["total"])
            progress.update(event["done"], event["total"], text("{name}", name=event["tensor"]))
        elif event["event"] == "read":
            self._source.was_read(event["name"])
        elif event["event"] == "error":
            raise _refusal(event["error"])
        elif event["event"] == "disk":
            raise disk_error(event["number"], event["reason"], self._folder)


def _refusal(record: dict[str, Any]) -> LocalLLMError:
    error = error_from_record(record)
    error.safe = error.safe or NOTHING_WRITTEN
    return error


def _died(death: Death) -> CheckpointRefused:
    return CheckpointRefused(
        text("The program that converts ended: {cause}.", cause=death.cause),
        safe=NOTHING_WRITTEN,
        hint=text("Close other programs if memory is short, then try again."),
        detail="\n".join(death.last_lines[-5:]),
    )


def require_room(folder: Path, need: int) -> None:
    """Refuse what would fill a disk.

    Raises:
        CheckpointRefused: It does not fit.
    """
    free = shutil.disk_usage(folder).free
    if free < need + _KEPT_FREE:
        raise _no_room(folder, need, free)


def _no_room(folder: Path, need: int, free: int) -> CheckpointRefused:
    return CheckpointRefused(
        text(
            "The disk of “{folder}” has {free} free; the conversion needs {need}.",
            folder=str(folder),
            free=Bytes(free),
            need=Bytes(need),
        ),
        safe=NOTHING_WRITTEN,
        hint=text("Make room, then try again."),
    )


def disk_error(number: int | None, reason: str, folder: Path) -> CheckpointRefused:
    """Return the refusal for what the system said of a disk; `number` is its errno."""
    if number in _NO_ROOM:
        sentence = text("The disk of “{folder}” became full.", folder=str(folder))
        return CheckpointRefused(sentence, safe=NOTHING_WRITTEN, hint=text("Make room, then try again."))
    sentence = text("“{folder}” cannot be written: {reason}.", folder=str(folder), reason=reason)
    return CheckpointRefused(sentence, safe=NOTHING_WRITTEN, detail=os.strerror(number) if number else "")
