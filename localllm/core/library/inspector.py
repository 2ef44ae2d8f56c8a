"""The gate: every stranger's file is read by the inspector's process before anything native opens it."""

from __future__ import annotations

import contextlib
import queue
import time
from typing import TYPE_CHECKING, Any, Self

from localllm.core.library.facts import read_facts
from localllm.core.library.model import FileFacts, Inspection
from localllm.engine.protocol import error_from_record, from_record
from localllm.errors import BadModelFile, LocalLLMError
from localllm.gguf.header import refuse
from localllm.processes import Child, Death, Message, python_arguments
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.progress import Progress
    from localllm.texts import Text

_CHILD_MODULE = "localllm.core.library.inspector_child"
START_SECONDS = 30.0
FILE_SECONDS = 20.0  # for one file; a network drive may be slow, an endless loop is ended before by its limit
_POLL_SECONDS = 0.1


class Inspector:
    """Inspects any number of files with one child process, which is started anew when it dies.

    To be used in a `with` block and by one thread at a time. Starts nothing before the first file.
    """

    def __init__(self, arguments: list[str] | None = None, file_seconds: float = FILE_SECONDS) -> None:
        self._arguments = arguments or python_arguments(_CHILD_MODULE)
        self._file_seconds = file_seconds
        self._child: Child | None = None
        self._replies: queue.SimpleQueue[Message | Death] = queue.SimpleQueue()
        self._number = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End the child."""
        self.close()

    def close(self) -> None:
        """End the child."""
        if self._child:
            self._child.stop()
            self._child = None

    def inspect(self, path: Path, progress: Progress | None = None) -> Inspection:
        """Return the verdict on one file; never raises for the file's sake.

        Raises:
            Cancelled: Through `progress`.
        """
        child = self._ready_child(progress)
        if child is None:
            return Inspection(path, reason=text("The program that inspects models could not be started."))
        self._number += 1
        child.send({"id": self._number, "path": str(path)})
        reply = self._await(self._file_seconds, progress)
        if isinstance(reply, dict) and reply.get("id") == self._number:
            return _as_inspection(path, reply)
        self._kill()
        return Inspection(path, reason=_lost(path, reply, self._file_seconds))

    def _ready_child(self, progress: Progress | None) -> Child | None:
        if self._child is not None and self._child.alive:
            return self._child
        self._replies = replies = queue.SimpleQueue[Message | Death]()
        self._child = Child(self._arguments, on_message=replies.put, on_death=replies.put)
        first = self._await(START_SECONDS, progress)
        if isinstance(first, dict) and "ready" in first:
            return self._child
        self._kill()
        return None

    def _await(self, seconds: float, progress: Progress | None) -> Message | Death | None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if progress is not None and progress.cancelled:
                self._kill()
                progress.raise_if_cancelled()
            with contextlib.suppress(queue.Empty):
                return self._replies.get(timeout=min(left, _POLL_SECONDS))
        return None

    def _kill(self) -> None:
        if self._child:
            self._child.kill()
            self._child = None


def inspect_here(path: Path) -> Inspection:
    """Return the verdict on one file, read in this process: for the starter model and our own files."""
    try:
        return Inspection(path, read_facts(path))
    except LocalLLMError as error:
        return Inspection(path, reason=error.message)


def refusal(verdict: Inspection) -> BadModelFile:
    """Return the error for a file that the gate has refused."""
    return BadModelFile(
        verdict.reason or "",
        hint=text("Download it again, or choose another file."),
        safe=text("The file was not opened by the engine; nothing was changed."),
        detail=str(verdict.path),
    )


def _as_inspection(path: Path, reply: Message) -> Inspection:
    facts: Any = reply.get("facts")
    if isinstance(facts, dict):
        return Inspection(path, from_record(FileFacts, facts))  # pyright: ignore[reportUnknownArgumentType]
    return Inspection(path, reason=error_from_record(reply["error"]).message)


def _lost(path: Path, reply: Message | Death | None, seconds: float) -> Text:
    if reply is None:
        reason = text("reading its header took longer than {seconds} s", seconds=int(seconds))
    elif isinstance(reply, Death):
        reason = text("the program that inspects models ended over it ({cause})", cause=reply.cause)
    else:
        reason = text("the program that inspects models gave no clear answer")
    return refuse(path, reason).message
