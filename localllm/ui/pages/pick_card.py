"""One recommended model: what it is, why, what it takes, how fast it will be, and one button."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from localllm.core.downloads.words import state_words
from localllm.texts import Bytes, Text, text
from localllm.ui.terms import explain
from localllm.ui.translation import say
from localllm.ui.verdicts import source_of_speed, speed_of, tint_of, word_of
from localllm.ui.widgets.basics import (
    IconLabel,
    make_button,
    make_label,
    make_link,
    make_pill,
    set_pill,
    set_style_property,
)
from localllm.ui.widgets.memory_bar import MemoryBar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.downloads.records import Download
    from localllm.core.library import LibraryModel
    from localllm.core.recommend import Choice
    from localllm.ui.theme import Theme

PickKind = Literal["fast", "balanced", "best"]


def find_on_disk(choice: Choice, models: Sequence[LibraryModel]) -> LibraryModel | None:
    """Return the file on this disk that holds a choice: same name or repository, same quantization."""
    wanted = _plain(choice.model.name)
    for model in models:
        same_quant = _plain(model.quant) == _plain(choice.quant) or _plain(choice.quant) in _plain(
            model.path.stem
        )
        same_name = wanted in _plain(model.path.stem) or model.repo == choice.model.repo
        if model.problem is None and same_quant and same_name:
            return model
    return None


def title_of(kind: PickKind) -> Text:
    """Return what a pick is called."""
    titles: dict[PickKind, Text] = {"fast": text("Fast"), "balanced": text("Balanced"), "best": text("Best")}
    return titles[kind]


class PickCard(QFrame):
    """A pick.

    Signals:
        chat_asked: It is on this disk and is to be used. args: `Choice`, `LibraryModel`.
        download_asked: It is to be downloaded. arg: `Choice`.
        downloads_asked: How its download stands is to be seen.
        why_asked: It is to be explained. arg: `Choice`.
        bench_asked: Its speed is to be measured. arg: `LibraryModel`.
    """

    chat_asked = Signal(object, object)
    download_asked = Signal(object)
    downloads_asked = Signal()
    why_asked = Signal(object)
    bench_asked = Signal(object)

    def __init__(self, theme: Theme, kind: PickKind) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._choice: Choice | None = None
        self._model: LibraryModel | None = None
        self._entry: Download | None = None
        self._kind = make_pill(say(title_of(kind)), "accent")
        self._verdict = make_pill("", "plain")
        self._name = make_label(role="heading", wrap=True)
        self._facts = make_label(role="muted", wrap=True)
        self._reason = make_label(wrap=True)
        self._bar = MemoryBar(theme)
        self._speed = make_label(role="strong")
        self._source = make_label(role="small", wrap=True)
        self._where = make_label(role="small", wrap=True)
        self._button = make_button(self.tr("Chat"), primary=True)
        self._button.clicked.connect(self._on_clicked)
        self._why = make_link(self.tr("Why this one?"))
        self._why.clicked.connect(self._on_why)
        self._bench = make_link(self.tr("Bench this model…"))
        self._bench.clicked.connect(lambda: self.bench_asked.emit(self._model))
        for label, term in ((self._facts, "quantization"), (self._speed, "tokens-per-second")):
            explain(label, term)
        self._build(theme)

    def show_choice(self, choice: Choice | None, models: Sequence[LibraryModel], room: float) -> None:
        """Show a choice; hidden where there is none of this kind."""
        self._choice = choice
        self.setVisible(choice is not None)
        if choice is None:
            return
        self._entry = None
        found = find_on_disk(choice, models)
        self._model = None if choice.settings.embeddings else found
        why = text("Why {model} as {quant}?", model=choice.model.name, quant=choice.quant)
        self._why.setAccessibleName(say(why))
        self._bench.setAccessibleName(say(text("Bench {model}", model=choice.model.name)))
        set_pill(self._verdict, say(word_of(choice.verdict)), tint_of(choice.verdict))
        self._name.setText(choice.model.name)
        facts = text(
            "{quant} · {size} · {license}",
            quant=choice.quant,
            size=Bytes(choice.size),
            license=choice.model.license,
        )
        self._facts.setText(say(facts))
        self._reason.setText(say(choice.reason))
        self._bar.show_estimate(choice.memory, room)
        self._speed.setText(say(speed_of(choice)))
        self._source.setText(say(source_of_speed(choice.speed)))
        self._show_button(choice)

    def _build(self, theme: Theme) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 14)
        column.setSpacing(8)
        pills = QHBoxLayout()
        pills.addWidget(self._kind)
        pills.addStretch(1)
        pills.addWidget(self._verdict)
        column.addLayout(pills)
        column.addWidget(self._name)
        column.addWidget(self._facts)
        column.addWidget(self._reason)
        column.addWidget(self._why, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        speed = QHBoxLayout()
        speed.setSpacing(8)
        speed.addWidget(IconLabel(theme, "speed", "muted", 18))
        speed.addWidget(self._speed)
        speed.addWidget(self._source, 1)
        column.addLayout(speed)
        column.addWidget(self._bench, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._bar)
        column.addSpacing(4)
        column.addWidget(self._where)
        column.addWidget(self._button)

    @property
    def choice(self) -> Choice | None:
        """What it shows."""
        return self._choice

    def show_entry(self, entry: Download | None) -> None:
        """Show how its download stands."""
        if self._choice is not None and entry != self._entry:
            self._entry = entry
            self._show_button(self._choice)

    def _show_button(self, choice: Choice) -> None:
        entry = self._entry if self._entry is not None and self._entry.state != "done" else None
        where = say(text("From {repo}", repo=choice.model.repo))
        words = self.tr("Download it")
        if self._model is not None:
            where, words = self.tr("On this disk."), self.tr("Chat")
        elif entry is not None:
            where, words = say(state_words(entry)), self.tr("Show the download")
        self._where.setText(where)
        self._bench.setVisible(self._model is not None)
        self._button.setText(words)
        set_style_property(self._button, "kind", "plain" if entry is not None else "primary")
        self._button.setAccessibleName(say(text("{action}: {model}", action=words, model=choice.model.name)))
        self._button.setCursor(Qt.CursorShape.PointingHandCursor)

    def _on_why(self) -> None:
        if self._choice is not None:
            self.why_asked.emit(self._choice)

    def _on_clicked(self) -> None:
        if self._choice is None:
            return
        if self._model is not None:
            self.chat_asked.emit(self._choice, self._model)
        elif self._entry is not None and self._entry.state != "done":
            self.downloads_asked.emit()
        else:
            self.download_asked.emit(self._choice)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
