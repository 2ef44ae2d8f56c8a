"""What a piece of work will give, before anything is written, and at its foot the button that starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from localllm.ui.errors import sentences_of
from localllm.ui.widgets.action_rows import ActionRow, ActionRows
from localllm.ui.widgets.activity import ActivityLine
from localllm.ui.widgets.basics import PageBody, ScrollArea, make_button, make_label
from localllm.ui.widgets.two_parts import TwoParts

if TYPE_CHECKING:
    from collections.abc import Sequence

_TURN_AT = 700  # pixels


class PlanCard(QFrame):
    """A title, a strong line, lines, and what is to be known; or why there is no plan.

    Signals:
        start_asked: It is to be done.
    """

    start_asked = Signal()

    def __init__(self, caption: str, start: str, *more: QWidget) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self.setMinimumWidth(250)
        self._more = more
        self._title = make_label(role="heading", wrap=True)
        self._strong = make_label(role="strong", wrap=True)
        self._muted = make_label(role="muted", wrap=True)
        self._lines = make_label(wrap=True)
        self._foot = make_label(role="small", wrap=True)
        self._waiting = ActivityLine()
        self.rows = ActionRows(caption)
        self.start = make_button(start, primary=True)
        self.start.clicked.connect(self.start_asked)
        self._build(caption)

    @property
    def words(self) -> str:
        """What it says."""
        labels = (self._title, self._strong, self._muted, self._lines, self._foot)
        return " ".join([*(one.text() for one in labels), *(row.sentence for row in self.rows.rows)])

    def show_sentence(self, words: str) -> None:
        """Show a sentence in place of a plan."""
        self.clear()
        self._show(self._muted, words)

    def show_waiting(self, words: str) -> None:
        """Say that the plan is being made."""
        self.clear()
        self._waiting.show_waiting(words)

    def show_problem(self, error: Exception) -> None:
        """Say why there is no plan."""
        self.clear()
        sentences = sentences_of(error)
        self._show(self._strong, sentences[0])
        self._show(self._lines, " ".join(sentences[1:]))

    def clear(self) -> None:
        """Show nothing."""
        self._waiting.hide()
        self.rows.show_rows(())
        for label in (self._title, self._strong, self._muted, self._lines, self._foot):
            self._show(label, "")
        for widget in (*self._more, self.start):
            widget.hide()

    def show_plan(
        self, title: str, strong: str, muted: str, lines: str, rows: Sequence[ActionRow], foot: str
    ) -> None:
        """Show a plan that can be started."""
        self.clear()
        for label, words in (
            (self._title, title),
            (self._strong, strong),
            (self._muted, muted),
            (self._lines, lines),
            (self._foot, foot),
        ):
            self._show(label, words)
        self.rows.show_rows(rows)
        self.start.setEnabled(True)
        self.start.show()

    def _show(self, label: QLabel, words: str) -> None:
        label.setText(words)
        label.setVisible(bool(words))

    def _build(self, caption: str) -> None:
        body = PageBody()
        inside = QVBoxLayout(body)
        inside.setContentsMargins(0, 0, 6, 0)
        inside.setSpacing(8)
        inside.addWidget(make_label(caption, "caption"))
        for widget in (self._title, self._strong, self._muted, *self._more, self.rows, self._lines):
            inside.addWidget(widget)
        inside.addWidget(self._waiting)
        inside.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 10, 14)
        column.setSpacing(8)
        column.addWidget(ScrollArea(caption, body), 1)
        column.addWidget(self._foot)
        column.addWidget(self.start)


def form_beside_plan(panel: QWidget, name: str, form: QWidget, plan: PlanCard) -> None:
    """Fill a panel: a form that scrolls, by this name for a screen reader, and the plan of what it asks."""
    body = PageBody()
    inside = QVBoxLayout(body)
    inside.setContentsMargins(0, 0, 0, 0)
    inside.addWidget(form)
    area = ScrollArea(name, body)
    area.setMinimumWidth(380)
    column = QVBoxLayout(panel)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(TwoParts(area, plan, turn_at=_TURN_AT, share=0.4, share_below=0.45))
