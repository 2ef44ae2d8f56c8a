"""System prompt, adapters and sampling settings at the right of the Chat page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QCheckBox, QFrame, QPlainTextEdit, QVBoxLayout

from localllm.core.chat_rows import chosen_prompt
from localllm.engine.protocol import Sampling
from localllm.texts import text
from localllm.ui.forms import Form, Row
from localllm.ui.terms import explain_setting
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.adapter_list import AdapterList
from localllm.ui.widgets.basics import PageBody, ScrollArea, make_button, make_label
from localllm.ui.widgets.source_note import SourceNote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localllm.core.chat_store import Chat
    from localllm.core.resolution import Resolution
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
    """What holds for one chat; `usual` says what applies beside what the chat chose.

    Signals:
        prompt_edited: arg: the system prompt.
        promptless_edited: arg: whether no system prompt is to apply, not even that of the settings.
        sampling_edited: arg: what the chat chose, by the names of `Sampling`.
    """

    prompt_edited = Signal(str)
    promptless_edited = Signal(bool)
    sampling_edited = Signal(object)

    def __init__(self, theme: Theme, usual: Callable[[Mapping[str, object]], Resolution]) -> None:
        super().__init__()
        self.setObjectName("options_panel")
        self.adapters = AdapterList(theme)
        self._usual = usual
        self._chosen: dict[str, object] = {}
        self._form = Form(Sampling(), sampling_rows(), self)
        self._form.edited.connect(self._on_edited)
        self._prompt = QPlainTextEdit()
        self._prompt.setAccessibleName(self.tr("System prompt"))
        self._prompt.setTabChangesFocus(True)
        explain_setting(self._prompt, "system_prompt")
        self.promptless = QCheckBox(self.tr("None in this chat"))
        self.promptless.setAccessibleName(self.tr("No system prompt in this chat"))
        self.promptless.clicked.connect(self._on_promptless)
        self._saving = QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(_SAVE_MS)
        self._saving.timeout.connect(lambda: self.prompt_edited.emit(self._prompt.toPlainText()))
        self._prompt.textChanged.connect(self._saving.start)
        self._prompt.textChanged.connect(self.show_sources)
        labels = {name: row.label for name, row in sampling_rows().items()}
        labels["system_prompt"] = text("System prompt")
        self.notes = {name: SourceNote(say(label), "chat") for name, label in labels.items()}
        for name, note in self.notes.items():
            note.reset_asked.connect(partial(self._on_reset, name))
        self._build()

    def show_chat(self, chat: Chat | None) -> None:
        """Show the settings of a chat; None shows those a new one starts with."""
        self.adapters.set_adapters(chat.adapters if chat is not None else ())
        self._chosen = dict(chat.chosen) if chat is not None else {}
        self._prompt.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self._prompt.setPlainText(chat.system_prompt if chat is not None else "")
        self._prompt.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        self.promptless.setChecked(chat is not None and chat.promptless)
        self.show_sources()

    def show_sources(self) -> None:
        """Show what applies now, and why; the settings or the model's profile may have changed."""
        promptless = self.promptless.isChecked()
        prompt = chosen_prompt(self._prompt.toPlainText(), promptless=promptless)
        resolved = self._usual({**self._chosen, **prompt})
        self._form.set_record(resolved.sampling)
        for name, note in self.notes.items():
            note.show_source(resolved.values[name], resolved.profile)
        below = self._usual({}).system_prompt
        usual = below or self.tr("How the model should behave in this chat")
        self._prompt.setPlaceholderText("" if promptless else usual)
        self._prompt.setEnabled(not promptless)
        self.promptless.setVisible(promptless or bool(below.strip()))

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
        column.addWidget(self.promptless)
        column.addWidget(self.notes["system_prompt"], 0, Qt.AlignmentFlag.AlignLeft)
        column.addSpacing(8)
        column.addWidget(make_label(self.tr("Adapters"), "heading"))
        column.addWidget(self.adapters)
        column.addSpacing(8)
        column.addWidget(make_label(self.tr("Sampling"), "heading"))
        column.addWidget(self._form.lay_out(narrow=True, notes=self.notes))
        reset = make_button(self.tr("Reset all of them"))
        reset.clicked.connect(self._on_reset_all)
        column.addWidget(reset)
        column.addStretch(1)
        area.setWidget(body)
        outer.addWidget(area)

    def _on_edited(self, name: str, value: object) -> None:
        self._choose({**self._chosen, name: value})

    def _on_promptless(self, promptless: bool) -> None:  # noqa: FBT001 - of a signal
        self.show_sources()
        self.promptless_edited.emit(promptless)

    def _on_reset(self, name: str) -> None:
        if name == "system_prompt":
            if self.promptless.isChecked():
                self.promptless.click()
            self._prompt.setPlainText("")
            self._prompt.setFocus()
            return
        self._choose({one: value for one, value in self._chosen.items() if one != name})
        self._form.controls[name].setFocus()  # the button is gone

    def _on_reset_all(self) -> None:
        self._choose({})

    def _choose(self, chosen: dict[str, object]) -> None:
        self._chosen = chosen
        self.show_sources()
        self.sampling_edited.emit(chosen)
