"""One message of a chat with what can be done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from localllm.texts import text
from localllm.ui.translation import say
from localllm.ui.widgets.answer_facts import describe_answer
from localllm.ui.widgets.basics import IconButton, make_card, make_label
from localllm.ui.widgets.message_text import MessageText
from localllm.ui.widgets.reasoning import ReasoningSplitter

if TYPE_CHECKING:
    from localllm.core.chat_store import Message
    from localllm.ui.theme import Theme


class MessageView(QWidget):
    """Shows a message; an answer may still be arriving.

    Signals:
        regenerate_asked: The answer is wanted anew. arg: message id.
        edit_asked: The person's message is to be changed. args: message id, its text.
        version_asked: Another version is wanted. args: message id, -1 or 1.
        link_asked: A link was clicked. arg: address.
        copied: Something is in the clipboard. arg: a sentence that says what.
    """

    regenerate_asked = Signal(int)
    edit_asked = Signal(int, str)
    version_asked = Signal(int, int)
    link_asked = Signal(str)
    copied = Signal(str)

    def __init__(self, theme: Theme, message: Message) -> None:
        super().__init__()
        self._theme = theme
        self._reasoning = ReasoningSplitter()
        self._is_answer = message.role == "assistant"
        self.message = message
        self._text = MessageText(theme, self.tr("Answer") if self._is_answer else self.tr("Your message"))
        self._facts = make_label(role="small", wrap=True)
        self._version = make_label(role="small")
        self._thought: MessageText | None = None
        self._thought_toggle: QToolButton | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self._build_body()
        self._build_foot()
        self._text.link_asked.connect(self.link_asked)
        self._text.code_copied.connect(self._on_code_copied)
        self.show_message(message)

    @property
    def body(self) -> MessageText:
        """The widget with the text."""
        return self._text

    def show_message(self, message: Message) -> None:
        """Show the message as it is in the store."""
        self.message = message
        if not self._is_answer:
            self._text.set_plain(message.text)
        elif message.state != "streaming":
            self._show_answer(message.text)
        self._show_foot()

    def append_piece(self, piece: str) -> None:
        """Add to the answer."""
        thought, answer = self._reasoning.feed(piece)
        self._append(thought, answer)

    def end_answer(self, message: Message) -> None:
        """Say that the answer has all arrived; what is shown stays as it is."""
        self.message = message
        self._append(*self._reasoning.finish())
        self._text.finish()
        if self._thought is not None:
            self._thought.finish()
        self._show_foot()

    def _show_answer(self, answer: str) -> None:
        self._reasoning = ReasoningSplitter()
        thought, rest = self._reasoning.feed(answer)
        more_thought, more = self._reasoning.finish()
        if thought + more_thought:
            self._thought_view().set_markdown_text(thought + more_thought)
        self._text.set_markdown_text(rest + more)

    def _append(self, thought: str, answer: str) -> None:
        if thought:
            self._thought_view().append_piece(thought)
        if answer:
            self._text.append_piece(answer)

    def _build_body(self) -> None:
        if self._is_answer:
            self._column.addWidget(make_label(self.message.model or self.tr("Answer"), "caption"))
            self._column.addWidget(self._text)
            return
        bubble = make_card("bubble")
        inner = QVBoxLayout(bubble)
        inner.setContentsMargins(14, 9, 14, 9)
        inner.addWidget(self._text)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(bubble, 4)
        self._column.addLayout(row)

    def _build_foot(self) -> None:
        foot = QHBoxLayout()
        foot.setSpacing(2)
        if self._is_answer:
            foot.addWidget(self._facts, 1)
        else:
            foot.addStretch(1)
        self._older = IconButton(self._theme, "chevron-left", self.tr("Previous version"))
        self._newer = IconButton(self._theme, "chevron-right", self.tr("Next version"))
        self._older.clicked.connect(lambda: self.version_asked.emit(self.message.id, -1))
        self._newer.clicked.connect(lambda: self.version_asked.emit(self.message.id, 1))
        copy = IconButton(self._theme, "copy", self.tr("Copy message"))
        copy.clicked.connect(self._on_copy)
        self._change = self._make_change_button()
        for widget in (self._older, self._version, self._newer, copy, self._change):
            foot.addWidget(widget, 0, Qt.AlignmentFlag.AlignTop)
        self._foot = QWidget()
        foot.setContentsMargins(0, 0, 0, 0)
        self._foot.setLayout(foot)
        self._column.addWidget(self._foot)

    def _make_change_button(self) -> IconButton:
        if self._is_answer:
            button = IconButton(self._theme, "regenerate", self.tr("Answer again"))
            button.clicked.connect(lambda: self.regenerate_asked.emit(self.message.id))
        else:
            button = IconButton(self._theme, "pencil", self.tr("Edit and send again"))
            button.clicked.connect(lambda: self.edit_asked.emit(self.message.id, self.message.text))
        return button

    def _show_foot(self) -> None:
        message = self.message
        self._foot.setVisible(message.state != "streaming")
        several = message.versions > 1
        for widget in (self._older, self._version, self._newer):
            widget.setVisible(several)
        position = text("{version}/{versions}", version=message.version, versions=message.versions)
        self._version.setText(say(position))
        self._older.setEnabled(message.version > 1)
        self._newer.setEnabled(message.version < message.versions)
        self._facts.setText(self._describe())

    def _describe(self) -> str:
        message = self.message
        lines = [describe_answer(message.stats)] if message.stats is not None else []
        if message.problem:
            lines.append(say(message.problem))
        elif message.stats is None and message.state == "interrupted":
            lines.append(self.tr("This answer was cut off when the application ended."))
        return "\n".join(lines)

    def _thought_view(self) -> MessageText:
        if self._thought is None:
            toggle = QToolButton()
            toggle.setText(self.tr("Show the reasoning"))
            toggle.setAccessibleName(toggle.text())
            toggle.setCheckable(True)
            toggle.setProperty("kind", "link")
            self._thought = MessageText(self._theme, self.tr("Reasoning"))
            self._thought.setVisible(False)
            toggle.toggled.connect(self._thought.setVisible)
            self._thought_toggle = toggle
            self._column.insertWidget(1, toggle)
            self._column.insertWidget(2, self._thought)
        return self._thought

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self.message.text)
        self.copied.emit(self.tr("The message was copied."))

    def _on_code_copied(self) -> None:
        self.copied.emit(self.tr("The code was copied."))
