"""System prompt, adapters and sampling settings at the right of the Chat page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QVBoxLayout

from localllm.engine.protocol import Sampling
from localllm.texts import text
from localllm.ui.forms import Form, Row
from localllm.ui.widgets.adapter_list import AdapterList
from localllm.ui.widgets.basics import PageBody, ScrollArea, make_button, make_label
from localllm.ui.widgets.line_heights import keep_height

if TYPE_CHECKING:
    from localllm.core.chat_store import Chat
    from localllm.ui.theme import Theme

_SAVE_MS = 500


def sampling_rows() -> dict[str, Row]:
    """Return how each field of `Sampling` is shown."""
    many = 1_000_000
    return {
        "temperature": Row(
            text("Temperature"),
            text("Higher is more varied; 0 always takes the likeliest token."),
            0,
            5,
            0.05,
        ),
        "top_k": Row(
            text("Top-k"), text("Choose among so many of the likeliest tokens; 0 is off."), 0, many, 1
        ),
        "top_p": Row(
            text("Top-p"),
            text("Choose among the tokens that together reach this probability; 1 is off."),
            0,
            1,
            0.01,
        ),
        "min_p": Row(
            text("Min-p"),
            text("Leave out tokens less likely than this share of the likeliest; 0 is off."),
            0,
            1,
            0.01,
        ),
        "repeat_penalty": Row(
            text("Repeat penalty"), text("Above 1 makes words that were just used less likely."), 0, 5, 0.01
        ),
        "repeat_last_n": Row(
            text("Repeat window"),
            text("Tokens that the penalties look back at; -1 is the whole context."),
            -1,
            many,
            16,
        ),
        "presence_penalty": Row(
            text("Presence penalty"), text("Lowers every token that has occurred at all."), -2, 2, 0.05
        ),
        "frequency_penalty": Row(
            text("Frequency penalty"),
            text("Lowers a token more the more often it has occurred."),
            -2,
            2,
            0.05,
        ),
        "seed": Row(
            text("Seed"), text("The same seed gives the same answer; -1 draws a fresh one."), -1, 2**31 - 1, 1
        ),
        "max_tokens": Row(
            text("Longest answer"),
            text("Tokens; -1 goes on until the answer or the context ends."),
            -1,
            many,
            64,
        ),
        "stop": Row(text("Stop strings"), text("One in a line; the answer ends before any of them.")),
    }


class ChatOptionsPanel(QFrame):
    """What holds for one chat.

    Signals:
        prompt_edited: arg: the system prompt.
        sampling_edited: arg: `Sampling`.
    """

    prompt_edited = Signal(str)
    sampling_edited = Signal(object)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("options_panel")
        self.adapters = AdapterList(theme)
        self._sampling = Sampling()
        self._form = Form(self._sampling, sampling_rows(), self)
        self._form.edited.connect(self._on_edited)
        self._prompt = QPlainTextEdit()
        self._prompt.setAccessibleName(self.tr("System prompt"))
        self._prompt.setPlaceholderText(self.tr("How the model should behave in this chat"))
        self._prompt.setTabChangesFocus(True)
        self._saving = QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(_SAVE_MS)
        self._saving.timeout.connect(lambda: self.prompt_edited.emit(self._prompt.toPlainText()))
        self._prompt.textChanged.connect(self._saving.start)
        self._build()

    def show_chat(self, chat: Chat | None) -> None:
        """Show the settings of a chat; None shows those a new one starts with."""
        self.adapters.set_adapters(chat.adapters if chat is not None else ())
        self._sampling = chat.sampling if chat is not None else Sampling()
        self._form.set_record(self._sampling)
        self._prompt.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self._prompt.setPlainText(chat.system_prompt if chat is not None else "")
        self._prompt.blockSignals(False)  # noqa: FBT003 - Qt's own signature

    def save_now(self) -> None:
        """Hand on what is still being written or chosen."""
        self.adapters.save_now()
        if self._saving.isActive():
            self._saving.stop()
            self.prompt_edited.emit(self._prompt.toPlainText())

    def _build(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        area = ScrollArea(self.tr("Chat settings"))
        body = PageBody()
        column = QVBoxLayout(body)
        column.setContentsMargins(14, 14, 14, 14)
        column.setSpacing(8)
        label = make_label(self.tr("System prompt"), "heading")
        label.setBuddy(self._prompt)
        keep_height(self._prompt, 6, 18, fixed=True)
        column.addWidget(label)
        column.addWidget(self._prompt)
        column.addSpacing(8)
        column.addWidget(make_label(self.tr("Adapters"), "heading"))
        column.addWidget(self.adapters)
        column.addSpacing(8)
        column.addWidget(make_label(self.tr("Sampling"), "heading"))
        column.addWidget(self._form.lay_out(narrow=True))
        reset = make_button(self.tr("Restore defaults"))
        reset.clicked.connect(self._on_reset)
        column.addWidget(reset)
        column.addStretch(1)
        area.setWidget(body)
        outer.addWidget(area)

    def _on_edited(self, name: str, value: object) -> None:
        self._sampling = dataclasses.replace(self._sampling, **{name: value})
        self.sampling_edited.emit(self._sampling)

    def _on_reset(self) -> None:
        self._sampling = Sampling()
        self._form.set_record(self._sampling)
        self.sampling_edited.emit(self._sampling)
