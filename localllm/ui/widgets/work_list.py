"""The long work of a page: a line for each job with how far it is, and a button that cancels it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from localllm.ui.jobs import HowFar, Job, JobRunner, Reactions, Work
from localllm.ui.motion import WorkBar
from localllm.ui.widgets.basics import ElidedLabel, make_button

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS_BETWEEN = 0.05  # the bar moves no more often
_SECONDS_BETWEEN_NEWS = 1.0


class _Line(QWidget):
    """One job."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._shown = 0.0
        self.words = ElidedLabel(words, "small")
        self.bar = WorkBar()
        self.bar.show_unknown()
        self.bar.setAccessibleName(words)
        self.cancel = make_button(self.tr("Cancel"), name=f"{self.tr('Cancel')}: {words}")
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 0, 0, 0)
        row.setSpacing(12)
        row.addWidget(self.words, 3)
        row.addWidget(self.bar, 4)
        row.addWidget(self.cancel)

    def show_progress(self, how_far: HowFar) -> None:
        """Move the bar."""
        now = time.monotonic()
        if how_far.total > 0 and (now - self._shown > _SECONDS_BETWEEN or how_far.done >= how_far.total):
            self._shown = now
            self.bar.show_fraction(how_far.done / how_far.total)


class WorkList(QWidget):
    """Starts jobs and shows them; hidden while there are none.

    Signals:
        failed: A job did not succeed. arg: the exception.
        progressed: A job got further, said a few times a second at most.
    """

    failed = Signal(object)
    progressed = Signal()

    def __init__(self, jobs: JobRunner) -> None:
        super().__init__()
        self._jobs = jobs
        self._running: dict[str, tuple[Job, _Line]] = {}
        self._told = 0.0
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self.hide()

    def start(self, key: str, words: str, work: Work, succeeded: Callable[[Any], object]) -> bool:
        """Begin a job; False if one of this key is running already.

        `succeeded` is a method of a `QObject`, so that it is called in the window's thread.
        """
        if key in self._running:
            return False
        line = _Line(words)
        self._column.addWidget(line)
        reactions = Reactions(
            progressed=self._on_progressed,
            succeeded=succeeded,
            failed=self._on_failed,
            finished=self._on_finished,
        )
        job = self._jobs.run(work, reactions)
        self._running[key] = (job, line)
        line.cancel.clicked.connect(job.cancel)
        self.show()
        return True

    def is_running(self, key: str) -> bool:
        """Tell whether a job of this key is running."""
        return key in self._running

    def cancel(self, key: str) -> None:
        """Ask a job to stop."""
        if key in self._running:
            self._running[key][0].cancel()

    def _on_progressed(self, how_far: HowFar) -> None:
        line = next((line for job, line in self._running.values() if job is self.sender()), None)
        if line is not None:
            line.show_progress(how_far)
        if time.monotonic() - self._told > _SECONDS_BETWEEN_NEWS:
            self._told = time.monotonic()
            self.progressed.emit()

    def _on_failed(self, error: Exception) -> None:
        self.failed.emit(error)

    def _on_finished(self) -> None:
        key = next(key for key, (job, _line) in self._running.items() if job is self.sender())
        _job, line = self._running.pop(key)
        self._column.removeWidget(line)
        line.hide()
        line.deleteLater()
        self.setVisible(bool(self._running))
