"""The Lab's work: what runs, what waits for its turn, and what came of it in this session."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, cast

from PySide6.QtCore import QObject, Signal

from localllm.ui.jobs import HowFar, Job, JobRunner, Reactions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from localllm.core.library import LibraryModel
    from localllm.progress import Progress
    from localllm.texts import Text

Lane = Literal["engine", "convert"]
State = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Outcome:
    """What came of a piece of work.

    Attributes:
        sentences: For people, what was made first.
        model: What was made, where it is a model.
        result: Anything else, for whoever started the work.
        then: What follows from it.
    """

    sentences: tuple[Text, ...]
    model: LibraryModel | None = None
    result: object = None
    then: tuple[Task, ...] = ()


@dataclass(frozen=True)
class Task:
    """A piece of work; of each lane one runs at a time."""

    title: Text
    work: Callable[[Progress], Outcome]
    lane: Lane = "engine"


@dataclass(eq=False)
class Entry:
    """A task on the list, and how it stands; `number` counts from the first."""

    task: Task
    number: int
    state: State = "waiting"
    how_far: HowFar | None = None
    outcome: Outcome | None = None
    error: Exception | None = None
    job: Job | None = None

    @property
    def active(self) -> bool:
        """Whether it runs or will."""
        return self.state in ("waiting", "running")


class LabWork(QObject):
    """Keeps the list, and runs one task of each lane after the other.

    Signals:
        added: A task is on the list. arg: `Entry`.
        changed: One stands otherwise now. arg: `Entry`.
        progressed: One got further. arg: `Entry`.
        removed: One is off the list. arg: `Entry`.
        succeeded: One is done. arg: `Entry`.
    """

    added = Signal(object)
    changed = Signal(object)
    progressed = Signal(object)
    removed = Signal(object)
    succeeded = Signal(object)

    def __init__(self, jobs: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self._closed = False
        self._numbers = count(1)
        self.entries: list[Entry] = []

    @property
    def active(self) -> list[Entry]:
        """What runs or waits."""
        return [entry for entry in self.entries if entry.active]

    def start(self, task: Task) -> Entry:
        """Put a task on the list; it runs as soon as its lane is free."""
        entry = Entry(task, next(self._numbers))
        self.entries.append(entry)
        self.added.emit(entry)
        self._begin_next()
        return entry

    def cancel(self, entry: Entry) -> None:
        """Stop a task, or take one that waits out of the queue."""
        if entry.state == "waiting":
            entry.state = "cancelled"
            self.changed.emit(entry)
        elif entry.job is not None:
            entry.job.cancel()

    def again(self, entry: Entry) -> None:
        """Let a task that failed or was cancelled run once more."""
        if not entry.active:
            entry.state, entry.outcome, entry.error, entry.how_far = "waiting", None, None, None
            self.changed.emit(entry)
            self._begin_next()

    def forget(self, entries: Iterable[Entry]) -> list[Entry]:
        """Take those tasks off the list that have ended; return them."""
        ended = [entry for entry in entries if not entry.active and entry in self.entries]
        for entry in ended:
            self.entries.remove(entry)
            self.removed.emit(entry)
        return ended

    def put_back(self, ended: Iterable[Entry]) -> None:
        """List tasks again that were taken off, in their places."""
        for entry in ended:
            self.entries.append(entry)
            self.entries.sort(key=lambda one: one.number)
            self.added.emit(entry)

    def close(self) -> None:
        """Stop everything; nothing begins any more."""
        self._closed = True
        for entry in self.active:
            self.cancel(entry)

    def _begin_next(self) -> None:
        for lane in ("engine", "convert"):
            queue = [entry for entry in self.active if entry.task.lane == lane]
            if queue and not self._closed and all(entry.state == "waiting" for entry in queue):
                self._begin(queue[0])

    def _begin(self, entry: Entry) -> None:
        entry.state = "running"
        reactions = Reactions(
            progressed=self._on_progressed,
            succeeded=self._on_succeeded,
            failed=self._on_failed,
            finished=self._on_finished,
        )
        entry.job = self._jobs.run(entry.task.work, reactions)
        self.changed.emit(entry)

    def _entry(self) -> Entry:
        job = cast("Job", self.sender())
        return next(entry for entry in self.entries if entry.job is job)

    def _on_progressed(self, how_far: HowFar) -> None:
        entry = self._entry()
        entry.how_far = how_far
        self.progressed.emit(entry)

    def _on_succeeded(self, outcome: Any) -> None:
        self._entry().outcome = cast("Outcome", outcome)

    def _on_failed(self, error: Exception) -> None:
        self._entry().error = error

    def _on_finished(self) -> None:
        entry = self._entry()
        entry.job = None
        entry.state = "done" if entry.outcome else "failed" if entry.error else "cancelled"
        self.changed.emit(entry)
        if entry.outcome is not None:
            self.succeeded.emit(entry)
            for task in entry.outcome.then if not self._closed else ():
                self.start(task)
        self._begin_next()
