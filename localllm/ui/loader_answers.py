"""Asks what loading would take: the closed form at once, then llama.cpp itself, then what could be done."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from localllm.ui.jobs import Job, JobRunner, Reactions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localllm.core.estimate import Estimate
    from localllm.core.estimate.advice import Advice
    from localllm.core.library import LibraryModel
    from localllm.core.machine import Machine
    from localllm.core.session import ModelSession
    from localllm.engine.protocol import LoadSettings
    from localllm.progress import Progress
    from localllm.ui.jobs import Work

PAUSE_MS = 60  # without another question, until llama.cpp is asked
FRESH_SECONDS = 5.0  # what is free changes; asking the computer takes longer than an estimate


class LoadAnswers(QObject):
    """Answers the newest question; older ones are given up.

    Signals:
        answered: arg: `Estimate`, or None where nobody can tell. Comes twice, the exact one second.
        advised: What could be done about the exact answer. arg: tuple of `Advice`.
        failed: arg: the exception.
    """

    answered = Signal(object)
    advised = Signal(object)
    failed = Signal(object)

    def __init__(self, session: ModelSession, jobs: JobRunner, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._jobs = session, jobs
        self._question: tuple[LibraryModel, LoadSettings] | None = None
        self._job: Job | None = None
        self._machine: tuple[float, Machine] | None = None
        self._probing = threading.Lock()
        self.pause = QTimer(self)
        self.pause.setSingleShot(True)
        self.pause.setInterval(PAUSE_MS)
        self.pause.timeout.connect(self._ask_exactly)

    def ask(self, model: LibraryModel, settings: LoadSettings) -> None:
        """Ask; the answers come with the signals."""
        self.stop()
        self._question = (model, settings)

        def work(_progress: Progress) -> Iterator[Estimate | None]:
            yield self._session.estimate(model, settings, self.machine(), exact=False)

        self._run(work, then=self.pause.start)

    def stop(self) -> None:
        """Give up what is still being found out."""
        self.pause.stop()
        self._question = None
        if self._job is not None:
            self._job.cancel()

    def rest(self) -> None:
        """Give back what estimating holds; forget how much was free."""
        self.stop()
        self._machine = None
        self._jobs.run(lambda _progress: self._session.rest())

    def machine(self) -> Machine:
        """Return this computer as it was a few seconds ago at most; called in jobs."""
        with self._probing:
            known = self._machine
            if known is None or time.monotonic() - known[0] > FRESH_SECONDS:
                known = self._machine = (time.monotonic(), self._session.probe_without_model())
            return known[1]

    def _ask_exactly(self) -> None:
        if self._question is None:
            return
        model, settings = self._question

        def work(progress: Progress) -> Iterator[Estimate | tuple[Advice, ...] | None]:
            machine = self.machine()
            progress.raise_if_cancelled()
            answer = self._session.estimate(model, settings, machine)
            yield answer
            progress.raise_if_cancelled()
            if answer is not None:
                yield self._session.advise(model, settings, answer, machine, progress)

        self._run(work)

    def _run(self, work: Work, then: Callable[[], object] | None = None) -> None:
        question = self._question

        def deliver(item: Estimate | tuple[Advice, ...] | None) -> None:
            if question is self._question:
                (self.advised if isinstance(item, tuple) else self.answered).emit(item)
                if then is not None:
                    then()

        def fail(error: Exception) -> None:
            if question is self._question:
                self.failed.emit(error)

        self._job = self._jobs.run(work, Reactions(yielded=deliver, failed=fail))
