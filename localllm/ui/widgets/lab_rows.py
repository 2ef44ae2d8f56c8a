"""One piece of the Lab's work: how far it is, what came of it, and what can be done next."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout

from localllm.errors import NotEnoughMemory
from localllm.texts import text
from localllm.ui.announce import announce
from localllm.ui.errors import sentences_of
from localllm.ui.motion import WorkBar
from localllm.ui.text_room import scale_of
from localllm.ui.translation import say
from localllm.ui.widgets.basics import ElidedLabel, IconButton, make_button, make_label, set_style_property

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from localllm.ui.lab_work import Entry
    from localllm.ui.theme import Theme

_SECONDS_BETWEEN = 0.05  # the bar and the words change no more often
_WIDE_FROM = 760  # pixels at the usual size of text


class LabRow(QFrame):
    """Keeps its buttons while the figures change, so that the keyboard stays where it is.

    Signals:
        cancel_asked, again_asked, forget_asked: Of this task.
        unload_asked: The chat's model is to be unloaded, so that there is memory for it.
        chat_asked, library_asked, quantize_asked, quality_asked: Of the model that was made.
    """

    cancel_asked = Signal()
    again_asked = Signal()
    forget_asked = Signal()
    unload_asked = Signal()
    chat_asked = Signal()
    library_asked = Signal()
    quantize_asked = Signal()
    quality_asked = Signal()

    def __init__(self, theme: Theme, entry: Entry) -> None:
        super().__init__()
        self.entry = entry
        self._shown, self._state, self._wide = 0.0, "", False
        self.setProperty("row", "plain")
        title = say(entry.task.title)
        self._title = make_label(title, "strong", wrap=True)
        self._note = ElidedLabel(role="small")
        self._words = make_label(wrap=True)
        self.bar = WorkBar()
        self.bar.setAccessibleName(title)
        self.cancel = self._button(self.tr("Cancel"))
        self.forget = IconButton(theme, "close", self._named(self.tr("Take off the list")))
        self.again = self._button(self.tr("Try again"))
        self.unload = self._button(self.tr("Unload the chat's model and try again"))
        self.chat = self._button(self.tr("Chat"), primary=True)
        self.library = self._button(self.tr("Show in Library"))
        self.quantize = self._button(self.tr("Quantize it"))
        self.quality = self._button(self.tr("Measure its quality"))
        self._of_model = (self.chat, self.library, self.quantize, self.quality)
        self._head, self._buttons = QHBoxLayout(), QGridLayout()
        self._build()
        self._connect()
        self.show_state()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Take one line less where there is room beside the title; Tab goes as one reads."""
        super().resizeEvent(event)
        wide = event.size().width() >= _WIDE_FROM * scale_of(self.fontMetrics())
        if wide != self._wide:
            self._wide = wide
            self._put_buttons()
            others = (self.cancel, self.forget, self.again, self.unload)
            order = (*self._of_model, *others) if wide else (*others, *self._of_model)
            for before, after in pairwise(order):
                self.setTabOrder(before, after)

    @property
    def words(self) -> str:
        """What it says of itself."""
        return " ".join(filter(None, (self._note.text(), self._words.text())))

    def show_state(self, *, may_unload: bool = False) -> None:
        """Show how it stands now; `may_unload` says that a chat's model takes memory."""
        entry, state = self.entry, self.entry.state
        outcome = entry.outcome if state == "done" else None
        made = outcome is not None and outcome.model is not None
        whole = outcome is not None and outcome.model is not None and outcome.model.problem is None
        self.bar.setVisible(entry.active)
        self.bar.setRange(0, 1 if state == "waiting" else 0)
        self._note.setVisible(entry.active)
        words = {"waiting": self.tr("Waits for its turn"), "running": self.tr("Starting…")}
        self._note.set_words(words.get(state, ""))
        self._words.setText(self._result())
        self._words.setVisible(not entry.active)
        self.cancel.setVisible(entry.active)
        self.forget.setVisible(not entry.active)
        self.again.setVisible(state in ("failed", "cancelled"))
        self.unload.setVisible(isinstance(entry.error, NotEnoughMemory) and may_unload)
        for button in (self.chat, self.quantize, self.quality):
            button.setVisible(whole)
        self.library.setVisible(made)
        set_style_property(self, "row", "failed" if state == "failed" else "plain")
        self.setAccessibleName(f"{self._title.text()}: {self.words}")
        if self._state in ("running", "waiting") and not entry.active:
            announce(self, self.accessibleName())
        self._state = state

    def show_progress(self) -> None:
        """Move the bar and say what is being done."""
        how_far = self.entry.how_far
        now = time.monotonic()
        if how_far is None or (now - self._shown < _SECONDS_BETWEEN and how_far.done < how_far.total):
            return
        self._shown = now
        if how_far.total > 0:
            self.bar.show_fraction(how_far.done / how_far.total)
        else:
            self.bar.show_unknown()
        if how_far.note is not None:
            self._note.set_words(say(how_far.note))

    def _result(self) -> str:
        entry = self.entry
        if entry.state == "done" and entry.outcome is not None:
            return " ".join(say(sentence) for sentence in entry.outcome.sentences)
        if entry.state == "failed" and entry.error is not None:
            return " ".join(sentences_of(entry.error))
        if entry.state == "cancelled":
            return self.tr("Cancelled. Nothing unfinished was left on the disk.")
        return ""

    def _button(self, words: str, *, primary: bool = False) -> QPushButton:
        return make_button(words, primary=primary, name=self._named(words))

    def _named(self, action: str) -> str:
        return say(text("{action}: {model}", action=action, model=say(self.entry.task.title)))

    def _build(self) -> None:
        head, buttons = self._head, self._buttons
        head.setSpacing(8)
        head.addWidget(self._title, 1)
        head.addWidget(self.cancel, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self.forget, 0, Qt.AlignmentFlag.AlignTop)
        buttons.setSpacing(6)
        self._put_buttons()
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 8)
        column.setSpacing(6)
        column.addLayout(head)
        column.addWidget(self.bar)
        column.addWidget(self._note)
        column.addWidget(self._words)
        for button in (self.again, self.unload):
            column.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addLayout(buttons)

    def _put_buttons(self) -> None:
        """Put what can be done with a model beside the title, or below."""
        for place, button in enumerate(self._of_model):
            self._head.removeWidget(button)
            self._buttons.removeWidget(button)
            if self._wide:
                self._head.insertWidget(1 + place, button, 0, Qt.AlignmentFlag.AlignTop)
            else:
                self._buttons.addWidget(button, place // 2, place % 2)

    def _connect(self) -> None:
        for button, signal in (
            (self.cancel, self.cancel_asked),
            (self.again, self.again_asked),
            (self.forget, self.forget_asked),
            (self.unload, self.unload_asked),
            (self.chat, self.chat_asked),
            (self.library, self.library_asked),
            (self.quantize, self.quantize_asked),
            (self.quality, self.quality_asked),
        ):
            button.clicked.connect(lambda _checked=False, signal=signal: signal.emit())
