"""What Home says at the very first start: where to begin, in one card that can be put away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from localllm.texts import Bytes, text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import IconLabel, make_button, make_label

if TYPE_CHECKING:
    from localllm.core.library import LibraryModel
    from localllm.ui.theme import Theme


class WelcomeCard(QFrame):
    """Hidden until it knows the starter model.

    Signals:
        chat_asked: The starter model is wanted.
        left: It is not wanted any longer.
    """

    chat_asked = Signal()
    left = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("card", "accent")
        self._starter = make_label(wrap=True)
        self.chat = make_button(self.tr("Chat now"), primary=True)
        self.chat.setAccessibleName(self.tr("Chat now with the starter model"))
        self.skip = make_button(self.tr("Not now"), name=self.tr("Put the welcome away"))
        self.chat.clicked.connect(self.chat_asked)
        self.skip.clicked.connect(self.left)
        self._build(theme)
        self.hide()

    def show_starter(self, model: LibraryModel) -> None:
        """Name the model that is already here."""
        words = text(
            "The starter model {name} ({size}) is already here and answers at once. It is small and speaks "
            "English: good for a first try, not for facts.",
            name=model.name,
            size=Bytes(model.size),
        )
        self._starter.setText(say(words))
        self.show()

    def _build(self, theme: Theme) -> None:
        promise = self.tr(
            "Models run on this computer and what you write stays here: there is no account, and nothing is "
            "reported to anybody."
        )
        then = self.tr(
            "Below are three larger models chosen for this computer: one click downloads one, and you can "
            "chat with the starter model meanwhile."
        )
        words = QVBoxLayout()
        words.setSpacing(6)
        words.addWidget(make_label(self.tr("Welcome to LocalLLM"), "heading"))
        for label in (make_label(promise, wrap=True), self._starter, make_label(then, wrap=True)):
            words.addWidget(label)
        buttons = QVBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.chat)
        buttons.addWidget(self.skip)
        buttons.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 14, 14, 14)
        row.setSpacing(14)
        row.addWidget(IconLabel(theme, "chat", "accent", 28), 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        row.addLayout(buttons)
