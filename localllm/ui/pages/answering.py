"""The answer that is being written now, whichever chat is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.core.chat import AnswerEnded, AnswerStarted, UserSaved
from localllm.engine.protocol import Piece
from localllm.ui.jobs import Job, JobRunner, Reactions

if TYPE_CHECKING:
    from localllm.core.chat import ChatEvent
    from localllm.core.chat_store import Message
    from localllm.ui.jobs import Work


class Answering(QObject):
    """Runs one answer at a time and remembers what has arrived of it.

    Signals:
        event_arrived: arg: `ChatEvent`.
        failed: arg: the exception.
        busy_changed: `busy` is another one.
    """

    event_arrived = Signal(object)
    failed = Signal(object)
    busy_changed = Signal()

    def __init__(self, jobs: JobRunner, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self._job: Job | None = None
        self._pieces: list[str] = []
        self.chat_id: int | None = None
        self.answer: Message | None = None  # while it arrives

    @property
    def busy(self) -> bool:
        """Whether an answer is being written or prepared."""
        return self._job is not None

    @property
    def text_so_far(self) -> str:
        """What has arrived of the answer."""
        return "".join(self._pieces)

    def start(self, chat_id: int, work: Work) -> None:
        """Run a method of `Conversation`."""
        self.chat_id, self.answer = chat_id, None
        self._pieces.clear()
        reactions = Reactions(yielded=self._on_event, failed=self.failed.emit, finished=self._on_finished)
        self._job = self._jobs.run(work, reactions)
        self.busy_changed.emit()

    def stop(self) -> None:
        """Stop; what arrived is kept."""
        if self._job is not None:
            self._job.cancel()

    def _on_event(self, event: ChatEvent) -> None:
        match event:
            case AnswerStarted(message):
                self.answer = message
            case Piece(piece):
                self._pieces.append(piece)
            case AnswerEnded() | UserSaved():
                self.answer = None
            case _:
                pass
        self.event_arrived.emit(event)

    def _on_finished(self) -> None:
        self._job = None
        self.answer = None
        self.busy_changed.emit()
