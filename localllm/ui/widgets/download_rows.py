"""One download in the panel: how far it is, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from localllm.core.downloads.words import progress_words, state_words
from localllm.texts import text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import ElidedLabel, IconButton, make_button, make_label

if TYPE_CHECKING:
    from localllm.core.downloads.records import Download
    from localllm.ui.theme import Theme


class DownloadRow(QFrame):
    """Keeps its buttons while the figures change, so that the keyboard stays where it is.

    Signals:
        pause_asked, resume_asked, cancel_asked, up_asked, down_asked: arg: the number of the entry.
        load_asked, chat_asked: The finished model is wanted. arg: the number.
        room_asked: Something is to be deleted, so that there is room for it.
    """

    pause_asked = Signal(int)
    resume_asked = Signal(int)
    cancel_asked = Signal(int)
    up_asked = Signal(int)
    down_asked = Signal(int)
    load_asked = Signal(int)
    chat_asked = Signal(int)
    room_asked = Signal()

    def __init__(self, theme: Theme, entry: Download) -> None:
        super().__init__()
        self.setProperty("row", "plain")
        self.entry = entry
        name = entry.request.title
        self._title = ElidedLabel(name, "strong", middle=True)
        self._words = make_label(role="small", wrap=True)
        self._note = make_label(wrap=True)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setRange(0, 1000)
        self._bar.setAccessibleName(name)
        self.pause = IconButton(theme, "pause", self._named(self.tr("Pause")))
        self.resume = IconButton(theme, "resume", self._named(self.tr("Go on")))
        self.up = IconButton(theme, "chevron-up", self._named(self.tr("Move up")))
        self.down = IconButton(theme, "chevron-down", self._named(self.tr("Move down")))
        self.cancel = IconButton(theme, "close", self._named(self.tr("Cancel the download")))
        self.load = make_button(self.tr("Load"), name=self._named(self.tr("Load")))
        self.chat = make_button(self.tr("Chat"), primary=True, name=self._named(self.tr("Chat")))
        self.room = make_button(self.tr("Make room in the library"))
        self._question = self._build_question()
        self._build()
        self._connect()
        self.show_entry(entry)

    def show_entry(self, entry: Download, *, gone: bool = False) -> None:
        """Show how it stands; `gone` says that it was finished and is no longer where it was put."""
        self.entry = entry
        done, failed = entry.state == "done", entry.state == "failed"
        stopped = failed or entry.state == "paused" or entry.wish == "pause"
        self._bar.setValue(int(1000 * entry.done / max(1, entry.request.size)))
        self._bar.setVisible(not done)
        self._words.setText(self.tr("No longer here") if gone else say(state_words(entry)))
        self._note.setText(say(entry.note) if entry.note is not None and not done else "")
        self._note.setVisible(bool(self._note.text()))
        self.pause.setVisible(not done and not stopped)
        self.resume.setVisible(not done and stopped)
        for button in (self.up, self.down, self.cancel):
            button.setVisible(not done)
        self.room.setVisible(entry.state == "queued" and bool(self._note.text()))  # it waits for room only
        self.load.setVisible(done and not gone)
        self.chat.setVisible(done and not gone)
        self.setAccessibleName(f"{entry.request.title}: {self.words}")

    def show_place(self, *, first: bool, last: bool) -> None:
        """Say whether it can be moved."""
        self.up.setEnabled(not first)
        self.down.setEnabled(not last)

    @property
    def words(self) -> str:
        """What it says of itself."""
        return f"{self._words.text()} {self._note.text()}".strip()

    @property
    def question(self) -> QWidget:
        """What is asked before something that arrived is deleted."""
        return self._question

    def _named(self, action: str) -> str:
        return say(text("{action}: {model}", action=action, model=self.entry.request.title))

    def _build(self) -> None:
        head, foot = QHBoxLayout(), QHBoxLayout()
        head.setSpacing(2)
        head.addWidget(self._title, 1)
        for button in (self.pause, self.resume, self.up, self.down, self.cancel):
            head.addWidget(button)
        foot.setSpacing(8)
        foot.addWidget(self._words, 1)
        foot.addWidget(self.load)
        foot.addWidget(self.chat)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 8)
        column.setSpacing(5)
        column.addLayout(head)
        column.addWidget(self._bar)
        column.addLayout(foot)
        column.addWidget(self._note)
        column.addWidget(self.room, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._question)

    def _build_question(self) -> QWidget:
        question = QWidget()
        words = make_label(self.tr("This deletes what has arrived."), wrap=True)
        self.delete = make_button(self.tr("Delete"), name=self._named(self.tr("Delete what arrived")))
        self.keep = make_button(self.tr("Keep"), name=self._named(self.tr("Keep the download")))
        row = QHBoxLayout(question)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(words, 1)
        row.addWidget(self.delete)
        row.addWidget(self.keep)
        question.hide()
        return question

    def _connect(self) -> None:
        for button, signal in (
            (self.pause, self.pause_asked),
            (self.resume, self.resume_asked),
            (self.up, self.up_asked),
            (self.down, self.down_asked),
            (self.load, self.load_asked),
            (self.chat, self.chat_asked),
            (self.delete, self.cancel_asked),
        ):
            button.clicked.connect(lambda _checked=False, signal=signal: signal.emit(self.entry.id))
        self.room.clicked.connect(self.room_asked)
        self.cancel.clicked.connect(self._on_cancel)
        self.keep.clicked.connect(self._question.hide)

    def _on_cancel(self) -> None:
        if self.entry.state == "queued" and not self.entry.done:
            self.cancel_asked.emit(self.entry.id)
            return
        self._question.show()
        self.keep.setFocus(Qt.FocusReason.OtherFocusReason)


def summary_of(entries: tuple[Download, ...]) -> str:
    """Return how far all of what is still to come is, "" if nothing is."""
    moving = [entry for entry in entries if entry.state in ("queued", "running")]
    if not moving:
        return ""
    done, total = sum(entry.done for entry in moving), sum(entry.request.size for entry in moving)
    speed = sum(entry.speed for entry in moving if entry.state == "running")
    return say(progress_words(done, total, speed, (total - done) / speed if speed > 0 else None))
