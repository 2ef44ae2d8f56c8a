"""A process that writes one file, as the rest of the program sees it; the other end is `writing_child.py`.

The file has a temporary name until everything is in it and it was tried; killing any process leaves nothing
under its final name, and what a killed one has left is removed when the next file is begun.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Self

from localllm.core.unfinished import remove_left_over, unfinished_name
from localllm.engine.protocol import error_from_record
from localllm.errors import CheckpointRefused, LocalLLMError, UsageError
from localllm.files import move_into_place
from localllm.processes import Child, Death, Message, python_arguments
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    from collections.abc import Generator

    from localllm.progress import Progress

KEPT_FREE = 512 << 20  # bytes of a disk that stay free for others
NOTHING_WRITTEN = text("Nothing was written.")
_POLL_SECONDS = 0.1
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WritingProcess:
    """The process, and what it says; it ends with the `with` block at the latest."""

    def __init__(self, module: str, order: Message) -> None:
        self._folder = Path()
        self._events: queue.SimpleQueue[Message | Death] = queue.SimpleQueue()
        self._child = Child(python_arguments(module), on_message=self._events.put, on_death=self._events.put)
        self._child.send(order)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End the process."""
        self.stop()

    def stop(self) -> None:
        """End the process."""
        self._child.kill()

    def _begin(self, path: Path) -> None:
        self._folder = path.parent
        self._child.send({"write": str(path)})

    def _next(self, wanted: str, progress: Progress) -> Message:
        """Return the next message of a kind; what else comes until then is dealt with."""
        while True:
            progress.raise_if_cancelled()
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=_POLL_SECONDS)
                if isinstance(event, Death):
                    raise _died(event)
                if event["event"] == wanted:
                    return event
                self._take(event, progress)

    def _take(self, event: Message, progress: Progress) -> None:
        if event["event"] == "progress":
            progress.update(event["done"], event["total"], text("{name}", name=event["tensor"]))
        elif event["event"] == "error":
            raise nothing_written(error_from_record(event["error"]))
        elif event["event"] == "disk":
            raise _disk_error(event["number"], event["reason"], self._folder)


@contextlib.contextmanager
def new_file(path: Path, room: int) -> Generator[Path]:
    """Give a temporary path whose file becomes `path` when the block ends well, and is removed otherwise.

    Raises:
        CheckpointRefused: There are not so many bytes of room, or the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(path.parent)
        _require_room(path.parent, room)
        temporary = unfinished_name(path)
        try:
            yield temporary
            move_into_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _disk_error(error.errno, error.strerror or str(error), path.parent) from error


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


def nothing_written(error: LocalLLMError) -> LocalLLMError:
    """Let an error say that nothing was written, if it does not say already what is safe."""
    error.safe = error.safe or NOTHING_WRITTEN
    return error


def _died(death: Death) -> CheckpointRefused:
    return CheckpointRefused(
        text("The program that converts ended: {cause}.", cause=death.cause),
        safe=NOTHING_WRITTEN,
        hint=text("Close other programs if memory is short, then try again."),
        detail="\n".join(death.last_lines[-5:]),
    )


def _require_room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need + KEPT_FREE:
        raise CheckpointRefused(
            text(
                "The disk of “{folder}” has {free} free; the conversion needs {need}.",
                folder=str(folder),
                free=Bytes(free),
                need=Bytes(need),
            ),
            safe=NOTHING_WRITTEN,
            hint=text("Make room, then try again."),
        )


def _disk_error(number: int | None, reason: str, folder: Path) -> CheckpointRefused:
    """Return the refusal for what the system said of a disk; `number` is its errno."""
    if number in _NO_ROOM:
        sentence = text("The disk of “{folder}” became full.", folder=str(folder))
        return CheckpointRefused(sentence, safe=NOTHING_WRITTEN, hint=text("Make room, then try again."))
    sentence = text("“{folder}” cannot be written: {reason}.", folder=str(folder), reason=reason)
    return CheckpointRefused(sentence, safe=NOTHING_WRITTEN, detail=os.strerror(number) if number else "")
