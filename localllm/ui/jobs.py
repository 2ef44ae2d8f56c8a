"""The one way the window runs long work: a core function in a thread, reported with signals."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from PySide6.QtCore import QObject, Signal

from localllm.errors import Cancelled, LocalLLMError
from localllm.progress import Progress

if TYPE_CHECKING:
    from localllm.texts import Text

_log = logging.getLogger(__name__)

Work = Callable[[Progress], object]
_SWITCH_SECONDS = 0.0005  # at Python's own 5 ms one layout of the window waited 60 ms for a job that computed


@dataclass(frozen=True)
class HowFar:
    """A report of progress; total 0 means unknown."""

    done: float
    total: float
    note: Text | None


@dataclass(frozen=True)
class Reactions:
    """What to call in the window's thread as a job goes along."""

    yielded: Callable[[Any], object] | None = None
    progressed: Callable[[HowFar], object] | None = None
    succeeded: Callable[[Any], object] | None = None
    failed: Callable[[Exception], object] | None = None
    finished: Callable[[], object] | None = None


class Job(QObject):
    """One piece of long work; a function that returns a generator is iterated in the thread.

    Signals:
        yielded: The generator gave an item. arg: the item.
        progressed: The function reported. arg: `HowFar`.
        succeeded: It returned. arg: its result, None for a generator.
        failed: It raised. arg: the exception; cancelling is no failure.
        finished: Always last.
    """

    yielded = Signal(object)
    progressed = Signal(object)
    succeeded = Signal(object)
    failed = Signal(object)
    finished = Signal()

    def __init__(self, work: Work, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self._progress = Progress(self._report)
        self._thread = threading.Thread(target=self._run, name="job", daemon=True)

    def connect_reactions(self, reactions: Reactions) -> None:
        """Connect what the caller wants to hear of."""
        for name in ("yielded", "progressed", "succeeded", "failed", "finished"):
            reaction = getattr(reactions, name)
            if reaction is not None:
                getattr(self, name).connect(reaction)

    def start(self) -> None:
        """Begin in a thread of its own."""
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop; what was yielded before is still delivered."""
        self._progress.cancel()

    def join(self, seconds: float) -> bool:
        """Wait for the thread; return whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def _report(self, done: float, total: float, note: Text | None) -> None:
        self.progressed.emit(HowFar(done, total, note))

    def _run(self) -> None:
        try:
            result = self._work(self._progress)
            if isinstance(result, Iterator):
                for item in cast("Iterator[object]", result):
                    self.yielded.emit(item)
                result = None
            self.succeeded.emit(result)
        except Cancelled:
            pass
        except Exception as error:  # noqa: BLE001 - the edge where anything may arrive
            _log_failure(error)
            self.failed.emit(error)
        finally:
            self.finished.emit()


def _log_failure(error: Exception) -> None:
    """Note what can happen in a line, and what should not with its traceback."""
    if isinstance(error, LocalLLMError):
        detail = f" ({error.detail})" if error.detail else ""
        _log.info("Not done: %s: %s%s", type(error).__name__, error, detail)
    else:
        _log.error("A job failed", exc_info=error)


class JobRunner(QObject):
    """Owns every job until its end has been delivered."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs: set[Job] = set()
        sys.setswitchinterval(_SWITCH_SECONDS)

    @property
    def running(self) -> int:
        """How many jobs have not reported their end yet."""
        return len(self._jobs)

    def run(self, work: Work, reactions: Reactions | None = None) -> Job:
        """Start the work in a thread and return its job."""
        job = Job(work, self)
        if reactions is not None:
            job.connect_reactions(reactions)
        job.finished.connect(self._on_finished)
        self._jobs.add(job)
        job.start()
        return job

    def cancel_all(self) -> None:
        """Ask every job to stop."""
        for job in self._jobs:
            job.cancel()

    def wait(self, seconds: float) -> bool:
        """Wait until every thread has ended; return whether they all have."""
        deadline = time.monotonic() + seconds
        ended = [job.join(deadline - time.monotonic()) for job in self._jobs]
        return all(ended)

    def _on_finished(self) -> None:
        job = cast("Job", self.sender())
        self._jobs.discard(job)
        job.setParent(None)
