"""What an empty chat shows: which model will answer, and three ways to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from localllm.texts import text
from localllm.ui.text_room import keep_height, keep_width
from localllm.ui.translation import say
from localllm.ui.widgets.basics import IconLabel, PageBody, ScrollArea, make_button, make_label

if TYPE_CHECKING:
    from localllm.ui.theme import Theme

_LEAST_WIDTH = 340  # pixels


class EmptyChat(QWidget):
    """An invitation.

    Signals:
        example_chosen: arg: a prompt.
        model_asked: A model is to be chosen.
    """

    example_chosen = Signal(str)
    model_asked = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._title = make_label(self.tr("What would you like to know?"), "title", wrap=True)
        self._title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._model = make_label(role="muted", wrap=True)
        self._model.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._choose = make_button(self.tr("Choose a model"), primary=True)
        self._choose.clicked.connect(self.model_asked)
        column = QVBoxLayout()
        column.setSpacing(10)
        column.addStrut(_LEAST_WIDTH)
        column.addWidget(IconLabel(theme, "chat", "accent", 40), 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(self._title)
        column.addWidget(self._model)
        column.addWidget(self._choose, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addSpacing(10)
        for example in self._examples():
            button = make_button(example)
            button.setProperty("kind", "example")
            keep_height(button, extra=26)
            button.clicked.connect(lambda _checked=False, words=example: self.example_chosen.emit(words))
            column.addWidget(button)
        inner = QWidget()
        inner.setLayout(column)
        keep_width(inner, most=560)
        body = PageBody()
        outer = QVBoxLayout(body)
        outer.addStretch(2)
        outer.addWidget(inner)
        outer.setAlignment(inner, Qt.AlignmentFlag.AlignHCenter)
        outer.addStretch(3)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(ScrollArea(self.tr("New chat"), body))

    def show_model(self, name: str | None) -> None:
        """Say which model will answer, or that one is to be chosen."""
        self._choose.setVisible(name is None)
        if name is None:
            self._model.setText(self.tr("No model is loaded. Everything stays on this computer."))
        else:
            self._model.setText(say(text("{model} answers here; nothing leaves this computer.", model=name)))

    def _examples(self) -> tuple[str, ...]:
        return (
            self.tr("Why is the sky blue?"),
            self.tr("Write a Python function that adds two numbers."),
            self.tr("What is photosynthesis?"),
        )
