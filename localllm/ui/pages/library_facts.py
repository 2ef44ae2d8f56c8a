"""What is known of one model: its file, what the header says, where it came from, how it is used; notes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QGuiApplication
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from localllm.texts import Bytes, Number, Text, plural, text
from localllm.ui.itemmodels.library_page import day_of, explain_state, parameters_of, source_of
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.basics import ElidedLabel, IconButton, PageBody, ScrollArea, make_label
from localllm.ui.widgets.term_link import make_term_link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.core.library.details import ModelDetails
    from localllm.ui.theme import Theme

_TERMS = {  # of the glossary, by the names of facts
    "Quantization": "quantization",
    "Parameters": "parameters",
    "Context": "context",
    "Experts": "moe",
}
_NOTES_MS = 700  # after the last key
Fact = tuple[Text, Text | str, str]  # name, value, what its button copies


class _Notes(QPlainTextEdit):
    """Says when it is done with.

    Signals:
        left: The focus went elsewhere.
    """

    left = Signal()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Say so."""
        super().focusOutEvent(event)
        self.left.emit()


class LibraryFacts(ScrollArea):
    """Names and values in groups, and the notes.

    Signals:
        notes_changed: args: `Path`, the notes.
        said: arg: a sentence.
    """

    notes_changed = Signal(object, str)
    said = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._path = Path()
        self._saved = ""
        self.setAccessibleName(self.tr("Facts"))
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_NOTES_MS)
        self._timer.timeout.connect(self.save_notes)
        self._grid_place = QVBoxLayout()
        self._grid: QWidget | None = None
        self._build()

    def show_details(self, details: ModelDetails) -> None:
        """Show a model; notes that are being written are kept first."""
        if details.model.path != self._path:
            self.save_notes()
            self._path, self._saved = details.model.path, details.model.notes
            self._notes.setPlainText(details.model.notes)
        self._fill(details)

    def save_notes(self) -> None:
        """Have the notes kept, if they have changed."""
        self._timer.stop()
        notes = self._notes.toPlainText()
        if notes != self._saved:
            self._saved = notes
            self.notes_changed.emit(self._path, notes)

    def _build(self) -> None:
        body = PageBody()
        column = QVBoxLayout(body)
        column.setContentsMargins(2, 10, 10, 10)
        column.setSpacing(10)
        column.addLayout(self._grid_place)
        notes = make_label(self.tr("Notes"), "caption")
        self._notes = _Notes()
        self._notes.setPlaceholderText(self.tr("What this model is good for; found by the search"))
        self._notes.setAccessibleName(self.tr("Notes"))
        self._notes.setTabChangesFocus(True)
        keep_height(self._notes, 4, 18, fixed=True)
        self._notes.textChanged.connect(self._timer.start)
        self._notes.left.connect(self.save_notes)
        notes.setBuddy(self._notes)
        column.addWidget(notes)
        column.addWidget(self._notes)
        column.addStretch(1)
        self.setWidget(body)

    def _fill(self, details: ModelDetails) -> None:
        if self._grid is not None:
            self._grid_place.removeWidget(self._grid)
            self._grid.hide()
            self._grid.deleteLater()
        self._grid = QWidget()
        grid = QGridLayout(self._grid)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(5)
        grid.setColumnStretch(1, 1)
        line = 0
        for heading, facts in _groups(details):
            caption = make_label(say(heading), "caption")
            caption.setContentsMargins(0, 8 if line else 0, 0, 0)
            grid.addWidget(caption, line, 0, 1, 2)
            line += 1
            for name, value, copied in facts:
                place = Qt.AlignmentFlag.AlignVCenter if copied else Qt.AlignmentFlag.AlignTop
                term = _TERMS.get(name.template)
                words = make_term_link(say(name), term) if term else make_label(say(name), "muted")
                grid.addWidget(words, line, 0, place | Qt.AlignmentFlag.AlignLeft)
                grid.addLayout(self._make_value(say(name), say(value), copied), line, 1)
                line += 1
        self._grid_place.addWidget(self._grid)

    def _make_value(self, name: str, value: str, copied: str) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(4)
        if not copied:
            row.addWidget(make_label(value, wrap=True), 1)
            return row
        shown = ElidedLabel(value, middle=True)
        shown.setToolTip(copied)
        button = IconButton(self._theme, "copy", say(text("Copy: {what}", what=name)), size=14)
        button.setProperty("kind", "inline")
        button.clicked.connect(lambda: self._on_copy(copied))
        row.addWidget(shown, 1)
        row.addWidget(button)
        return row

    def _on_copy(self, words: str) -> None:
        QGuiApplication.clipboard().setText(words)
        self.said.emit(self.tr("Copied"))


def _groups(details: ModelDetails) -> Iterator[tuple[Text, list[Fact]]]:
    yield text("File"), list(_file_facts(details))
    if details.facts is not None:
        yield text("Model"), list(_model_facts(details))
    yield text("Origin"), list(_origin_facts(details))


def _file_facts(details: ModelDetails) -> Iterator[Fact]:
    model = details.model
    folder = str(model.path.parent)
    yield text("Name"), model.path.name, model.path.name
    yield text("Folder"), folder, folder
    size = Bytes(model.size)
    yield (
        text("Disk use"),
        plural(model.parts, "{size}", "{size} in {count} files", size=size),
        "",
    )
    if model.problem is None:  # the head says why a file was refused
        yield text("State"), explain_state(model), ""
    yield text("Last used"), day_of(model.last_used), ""


def _model_facts(details: ModelDetails) -> Iterator[Fact]:
    model, facts = details.model, details.facts
    if facts is None:
        return
    yield (
        text("Quantization"),
        text("{quant} · {bits} bits per weight", quant=facts.quant, bits=Number(facts.bits_per_weight, 2)),
        "",
    )
    yield (
        text("Architecture"),
        plural(facts.layers or 0, "{name} · 1 layer", "{name} · {count} layers", name=facts.architecture)
        if facts.layers
        else facts.architecture,
        "",
    )
    yield text("Parameters"), parameters_of(model), ""
    if facts.trained_context:
        yield text("Context"), text("{tokens} tokens", tokens=facts.trained_context), ""
    if facts.experts:
        yield text("Experts"), str(facts.experts), ""
    if facts.heads:
        heads = text("{heads}, {kv} for keys and values", heads=facts.heads, kv=facts.kv_heads or facts.heads)
        yield text("Attention heads"), heads, ""
    if facts.vocabulary:
        words = text("{count} tokens ({kind})", count=facts.vocabulary, kind=facts.tokenizer or "?")
        yield text("Vocabulary"), words, ""
    if model.projector is not None:
        yield text("Image part"), model.projector.name, str(model.projector)


def _origin_facts(details: ModelDetails) -> Iterator[Fact]:
    model, origin, facts = details.model, details.origin, details.facts
    yield text("Source"), source_of(model), ""
    if origin is not None and origin.repo:
        yield text("Repository"), origin.repo, origin.repo
        if origin.commit:
            yield text("Commit"), origin.commit, origin.commit
    elif facts is not None and facts.repository:
        claim = text("{repo} (says the file itself)", repo=facts.repository)
        yield text("Repository"), claim, facts.repository
    else:
        yield text("Repository"), text("Not known"), ""
    if facts is not None and facts.licence:
        yield text("Licence"), text("{licence} (says the file itself)", licence=facts.licence), ""
    expected = next(iter(origin.sha256.values()), "") if origin is not None and model.parts == 1 else ""
    if model.sha256:
        yield text("SHA-256"), model.sha256, model.sha256
    elif model.state == "checked":
        yield text("SHA-256"), text("Computed for each of its files"), ""
    else:
        yield text("SHA-256"), text("Not computed yet"), ""
    if expected and expected != model.sha256:
        yield text("At its source"), expected, expected
