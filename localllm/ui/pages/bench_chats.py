"""Chats through the application beside the bare engine: what template, sampling and saving cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QVBoxLayout, QWidget

from localllm.texts import Number, Text, text
from localllm.ui.itemmodels.records import Column, RecordTable
from localllm.ui.widgets.basics import make_button, make_label
from localllm.ui.widgets.record_view import RecordView

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.bench.chat import ChatSpeed
    from localllm.core.library import LibraryModel

_LEAST_LINES, _MOST_LINES = 2, 10


@dataclass(frozen=True)
class ChatResult:
    """A model and how fast it is in a chat."""

    model: LibraryModel
    speed: ChatSpeed


class ChatResults(QWidget):
    """A row for each model.

    Signals:
        said: arg: a passing sentence.
    """

    said = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.model = RecordTable(_columns(), self)
        self.table = RecordView(self.tr("Chats beside the bare engine"))
        self.table.show_table(self.model)
        self.copy = make_button(self.tr("Copy"), name=self.tr("Copy the results"))
        self.copy.clicked.connect(self._on_copy)
        hint = make_label(
            self.tr(
                "A chat adds the template, sampling, the way between two processes, and saving. The first "
                "token comes after the prompt was read; the bare engine reads as many tokens and writes one."
            ),
            "muted",
            wrap=True,
        )
        head = QHBoxLayout()
        head.addWidget(make_label(self.tr("Chats beside the bare engine"), "heading"), 1)
        head.addWidget(self.copy)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self.table)
        column.addWidget(hint)

    def clear(self) -> None:
        """Show nothing."""
        self._show([])

    def add(self, result: ChatResult) -> None:
        """Show one more model."""
        self._show([*self.model.records, result])

    def _show(self, results: list[ChatResult]) -> None:
        self.model.show_records(results)
        self.copy.setEnabled(bool(results))
        self.table.resizeColumnsToContents()
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.show_lines(_LEAST_LINES, _MOST_LINES)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self.table.markdown())
        self.said.emit(self.tr("Copied."))


def _columns() -> tuple[Column[ChatResult], ...]:
    seconds, plain, times = text("{value} s"), text("{value}"), text("× {value}")
    return (
        Column(text("Model"), lambda row: row.model.name, lambda row: row.model.name.lower()),
        _column(text("Tokens read"), lambda row: row.speed.prompt_tokens, plain, 0),
        _column(text("First token"), lambda row: row.speed.first_token, seconds, 3),
        _column(text("Bare engine"), lambda row: row.speed.bare_first_token, seconds, 3),
        _column(text("Ratio"), lambda row: row.speed.first_token_ratio, times, 3),
        _column(text("Tokens/s"), lambda row: row.speed.writing, plain, 2),
        _column(text("Bare engine"), lambda row: row.speed.bare_writing, plain, 2),
        _column(text("Ratio"), lambda row: row.speed.writing_ratio, times, 3),
    )


def _column(
    title: Text, value: Callable[[ChatResult], float], sentence: Text, decimals: int
) -> Column[ChatResult]:
    def shown(row: ChatResult) -> Text:
        return text(sentence.template, value=Number(value(row), decimals))

    return Column(title, shown, value, right=True)
