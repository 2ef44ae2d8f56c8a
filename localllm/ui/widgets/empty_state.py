"""What stands where a list has nothing to show: a sentence that says what it is for, and the next step."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from localllm.ui.widgets.basics import make_button, make_label


class EmptyState(QWidget):
    """Words and a button; hidden while there is something.

    Signals:
        step_asked: The next step is wanted.
    """

    step_asked = Signal()

    def __init__(self, words: str = "", step: str = "") -> None:
        super().__init__()
        self._words = make_label("", "muted", wrap=True)
        self.button = make_button("")
        self.button.clicked.connect(self.step_asked)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self._words)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        self.say(words, step)

    @property
    def words(self) -> str:
        """What it says."""
        return self._words.text()

    def say(self, words: str, step: str = "") -> None:
        """Say something else; without a step there is no button."""
        self._words.setText(words)
        self.button.setText(step)
        self.button.setAccessibleName(step)
        self.button.setVisible(bool(step))
