"""Why this model: memory, evidence for its quality, speed, its neighbours, what would change the verdict."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, SignalInstance
from PySide6.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from localllm.texts import Bytes, Number, text
from localllm.ui.explain import ExplainDialog
from localllm.ui.translation import say
from localllm.ui.verdicts import speed_words, tint_of, word_of
from localllm.ui.widgets.action_rows import ActionRow, ActionRows
from localllm.ui.widgets.basics import (
    PageBody,
    ScrollArea,
    make_button,
    make_label,
    make_link,
    make_pill,
)
from localllm.ui.widgets.links import LinkDialog, may_open
from localllm.ui.widgets.memory_bar import MemoryBar
from localllm.ui.widgets.serving import ServingView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.quality import Evaluation
    from localllm.core.recommend import Change, Choice, Neighbour
    from localllm.texts import Text
    from localllm.ui.pages.advisor import Explained
    from localllm.ui.theme import Theme

_SIZE = (780, 700)


class WhyDialog(QDialog):
    """One choice in full.

    Signals:
        neighbour_asked: Another choice is to be explained. arg: `Choice`.
        wish_asked: The recommendation is to be made for another wish. arg: `Wish`.
        what_if_asked: It is to be made for another computer. arg: `WhatIf`.
    """

    neighbour_asked = Signal(object)
    wish_asked = Signal(object)
    what_if_asked = Signal(object)

    def __init__(self, theme: Theme, explained: Explained, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        choice = explained.why.choice
        title = text("Why {model} as {quant}?", model=choice.model.name, quant=choice.quant)
        self.setWindowTitle(say(title))
        window = parent.window().size()
        self.resize(min(_SIZE[0], window.width() - 40), min(_SIZE[1], window.height() - 40))
        self._theme, self._explained = theme, explained
        body = PageBody()
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(22, 18, 22, 12)
        self._column.setSpacing(8)
        self._add_head(choice)
        self._add_memory(choice)
        self._add_quality()
        self._add_speed(choice)
        self._add_neighbours()
        self._add_changes()
        self._add_serving()
        self._column.addStretch(1)
        area = ScrollArea(self.windowTitle(), body)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 12)
        outer.addWidget(area, 1)
        outer.addLayout(self._build_foot())

    def words(self) -> str:
        """Return everything it says."""
        return "\n".join(label.text() for label in self.findChildren(QLabel))

    def _build_foot(self) -> QHBoxLayout:
        explain = make_link(self.tr("How is the memory computed?"))
        explain.clicked.connect(self._on_explain)
        close = make_button(self.tr("Close"))
        close.clicked.connect(self.reject)
        foot = QHBoxLayout()
        foot.setContentsMargins(22, 0, 22, 0)
        foot.addWidget(explain)
        foot.addStretch(1)
        foot.addWidget(close)
        return foot

    def _heading(self, words: str) -> None:
        self._column.addSpacing(6)
        self._column.addWidget(make_label(words, "heading"))

    def _sentences(self, sentences: Iterable[Text]) -> None:
        for sentence in sentences:
            self._column.addWidget(make_label(say(sentence), wrap=True))

    def _add_head(self, choice: Choice) -> None:
        row = QHBoxLayout()
        row.addWidget(make_label(self.windowTitle(), "heading", wrap=True), 1)
        row.addWidget(make_pill(say(word_of(choice.verdict)), tint_of(choice.verdict)))
        self._column.addLayout(row)
        facts = text(
            "{quant} · {size} · {license}",
            quant=choice.quant,
            size=Bytes(choice.size),
            license=choice.model.license,
        )
        self._column.addWidget(make_label(say(facts), "muted", wrap=True))
        self._sentences(
            [choice.reason]
            if choice.reason == choice.why_not
            else filter(None, (choice.reason, choice.why_not))
        )

    def _add_memory(self, choice: Choice) -> None:
        bar = MemoryBar(self._theme)
        bar.show_estimate(choice.memory, self._explained.room)
        self._column.addSpacing(4)
        self._column.addWidget(bar)
        self._sentences(self._explained.why.settings)

    def _add_quality(self) -> None:
        self._heading(self.tr("Quality"))
        self._sentences(self._explained.why.quality)
        evidence = self._explained.why.evidence
        if not evidence:
            words = self.tr("Nobody has published a figure for it that could be compared.")
            self._column.addWidget(make_label(words, "muted", wrap=True))
            return
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(2, 1)
        for line, entry in enumerate(evidence):
            grid.addWidget(make_label(entry.benchmark), line, 0)
            decimals = len(f"{entry.value:g}".partition(".")[2])
            value = make_label(say(text("{value}", value=Number(entry.value, decimals))), "strong")
            grid.addWidget(value, line, 1, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(self._source(entry), line, 2)
        self._column.addLayout(grid)

    def _source(self, entry: Evaluation) -> QWidget:
        if not may_open(entry.source):
            return make_label(entry.source, "small", wrap=True)
        shown = entry.source.removeprefix("https://")
        link = make_link(
            shown, name=say(text("Source of {figure}: {source}", figure=entry.benchmark, source=shown))
        )
        link.setStyleSheet("text-align: left")
        link.clicked.connect(partial(self._on_source, entry.source))
        return link

    def _add_speed(self, choice: Choice) -> None:
        self._heading(self.tr("Speed"))
        self._column.addWidget(make_label(say(speed_words(choice.pace)), "strong"))
        self._sentences([self._explained.why.speed])

    def _add_neighbours(self) -> None:
        rows = ActionRows(self.tr("One step up, one step down"))
        rows.show_rows([self._neighbour(entry) for entry in self._explained.why.neighbours])
        if rows.rows:
            self._heading(self.tr("One step up, one step down"))
            self._column.addWidget(rows)

    def _neighbour(self, neighbour: Neighbour) -> ActionRow:
        return ActionRow(
            say(neighbour.sentence),
            self.tr("Why?"),
            lambda: self._leave(self.neighbour_asked, neighbour.choice),
        )

    def _add_changes(self) -> None:
        rows = ActionRows(self.tr("What would change the verdict"))
        rows.show_rows([self._change(change) for change in self._explained.why.changes])
        self._heading(self.tr("What would change the verdict"))
        if rows.rows:
            self._column.addWidget(rows)
        else:
            words = self.tr("Nothing that can be set: not the context, not its type, no other hardware.")
            self._column.addWidget(make_label(words, "muted", wrap=True))

    def _change(self, change: Change) -> ActionRow:
        if change.what_if is not None:
            return ActionRow(
                say(change.sentence), self.tr("Show"), lambda: self._leave(self.what_if_asked, change.what_if)
            )
        if change.wish is not None:
            return ActionRow(
                say(change.sentence), self.tr("Show"), lambda: self._leave(self.wish_asked, change.wish)
            )
        return ActionRow(say(change.sentence))

    def _add_serving(self) -> None:
        served = self._explained.served
        if served is not None:
            self._heading(self.tr("Where it would run"))
            self._column.addWidget(ServingView(self._theme, served.needs, served.plans))

    def _leave(self, signal: SignalInstance, what: object) -> None:
        self.accept()
        signal.emit(what)

    def _on_source(self, address: str) -> None:
        LinkDialog(address, self).open()

    def _on_explain(self) -> None:
        ExplainDialog(self._explained.answer, self).open()
