"""What is being waited for, and how far it is."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from localllm.texts import Text, text
from localllm.ui.motion import WorkBar
from localllm.ui.translation import say
from localllm.ui.widgets.basics import ElidedLabel

_LEAST = 60  # pixels of the bar


class ActivityLine(QWidget):
    """A sentence and a thin bar; hidden while nothing is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ElidedLabel(role="small")
        self._bar = WorkBar()
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 0, 4, 0)
        row.setSpacing(10)
        self._words.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self._bar.setMinimumWidth(_LEAST)
        row.addWidget(self._words)
        row.addWidget(self._bar, 1)
        self.hide()

    def show_activity(self, words: str, fraction: float) -> None:
        """Show how far something is, 0 to 1."""
        self._words.set_words(words)
        self._bar.show_fraction(fraction)
        self._bar.setAccessibleName(words)
        self.show()

    def show_waiting(self, words: str) -> None:
        """Show that something goes on of which nobody knows how long it takes."""
        self.show_activity(words, 0.0)
        self._bar.show_unknown()

    def show_loading(self, fraction: float, note: Text | None = None) -> None:
        """Show how much of the model is loaded, 0 to 1, or why nobody knows how long it still takes."""
        if note is not None:
            self.show_waiting(say(note))
            return
        self.show_activity(
            say(text("Loading the model: {percent} %", percent=round(100 * fraction))), fraction
        )

    def show_prompt(self, done: int, total: int) -> None:
        """Show how many tokens of the prompt are read; nothing when they all are."""
        if done >= total:
            self.hide()
            return
        words = text("Reading the prompt: {done} of {total} tokens", done=done, total=total)
        self.show_activity(say(words), done / max(1, total))

    def text(self) -> str:
        """Return the sentence."""
        return self._words.text()
