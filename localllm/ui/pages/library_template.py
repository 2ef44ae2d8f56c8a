"""The chat template of one model: what stands in the file, and what it makes of a conversation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPlainTextEdit, QSplitter, QVBoxLayout, QWidget

from localllm.core.library.templates import TemplateTrial, try_template
from localllm.core.library.tensors import read_template
from localllm.engine.protocol import ChatMessage
from localllm.texts import text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Job, JobRunner, Reactions
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label, make_pill, set_pill

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class _Source:
    """The template as it stands in the file, "" if there is none."""

    template: str


class LibraryTemplate(QWidget):
    """Reads the template of a model when it is shown, and tries it."""

    def __init__(self, jobs: JobRunner) -> None:
        super().__init__()
        self._jobs = jobs
        self._path = Path()
        self._job: Job | None = None
        self._pill = make_pill("", "plain")
        self._words = make_label(role="small", wrap=True)
        self._source = _make_viewer(self.tr("Chat template"))
        self.prompt = _make_viewer(self.tr("What the model reads"))
        self._system = QLineEdit(self.tr("You answer briefly."))
        self._message = QLineEdit(self.tr("What is the capital of Portugal?"))
        self._try = make_button(self.tr("Try"))
        self._build()

    def show_model(self, path: Path) -> None:
        """Read and try the template of a model, if it is not there already."""
        if path != self._path:
            self._path = path
            self._source.clear()
            self._run()

    def forget(self) -> None:
        """Read again when a model is shown next: a file has changed."""
        self._path = Path()

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self._pill)
        head.addWidget(self._words, 1)
        self._pill.hide()
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(_with_caption(self.tr("Chat template"), self._source))
        parts.addWidget(self._build_trial())
        parts.setChildrenCollapsible(False)
        parts.setSizes([300, 400])
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 10, 2, 4)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(parts, 1)

    def _build_trial(self) -> QWidget:
        self._system.setAccessibleName(self.tr("System prompt"))
        self._system.setPlaceholderText(self.tr("System prompt"))
        self._message.setAccessibleName(self.tr("Message"))
        self._message.setPlaceholderText(self.tr("Message"))
        self._try.clicked.connect(self._run)
        for edit in (self._system, self._message):
            edit.setCursorPosition(0)
            edit.returnPressed.connect(self._run)
        fields = QHBoxLayout()
        fields.setSpacing(8)
        fields.addWidget(self._system, 1)
        fields.addWidget(self._message, 1)
        fields.addWidget(self._try)
        panel = QWidget()
        column = QVBoxLayout(panel)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(6)
        column.addWidget(make_label(self.tr("Tried with a conversation"), "caption"))
        column.addLayout(fields)
        column.addWidget(self.prompt, 1)
        return panel

    def _run(self) -> None:
        path = self._path
        if self._job is not None:
            self._job.cancel()
        messages = [ChatMessage("user", self._message.text())]
        if self._system.text().strip():
            messages.insert(0, ChatMessage("system", self._system.text()))
        self.prompt.setPlainText(self.tr("Trying…"))

        def work(_progress: object) -> Iterator[object]:
            yield _Source(read_template(path))
            yield try_template(path, messages)

        self._job = self._jobs.run(work, Reactions(yielded=self._on_read, failed=self._on_failed))

    def _on_read(self, found: _Source | TemplateTrial) -> None:
        if self.sender() is not self._job:
            return
        if isinstance(found, _Source):
            self._source.setPlainText(found.template)
            if not found.template:
                self._source.setPlainText(self.tr("This file has no chat template."))
            return
        self._pill.show()
        own = found.name == "file"
        words = self.tr("Its own template") if own else say(text("Built-in: {name}", name=found.name))
        set_pill(self._pill, words, "good" if own else "tight")
        self._words.setText(
            " ".join(say(notice) for notice in found.notices)
            or self.tr("It is rendered in a process of its own, with a time and a memory limit.")
        )
        self.prompt.setPlainText(found.prompt)

    def _on_failed(self, error: Exception) -> None:
        if self.sender() is self._job:
            self._pill.show()
            set_pill(self._pill, self.tr("Fails"), "bad")
            self._words.setText(self.tr("This conversation cannot be put to the model as it is."))
            self.prompt.setPlainText("\n".join(sentences_of(error)))


def _make_viewer(name: str) -> QPlainTextEdit:
    viewer = QPlainTextEdit()
    viewer.setReadOnly(True)
    viewer.setTabChangesFocus(True)
    viewer.setAccessibleName(name)
    viewer.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
    viewer.setMinimumHeight(70)
    return viewer


def _with_caption(words: str, widget: QWidget) -> QWidget:
    panel = QWidget()
    column = QVBoxLayout(panel)
    column.setContentsMargins(0, 0, 0, 4)
    column.setSpacing(6)
    column.addWidget(make_label(words, "caption"))
    column.addWidget(widget, 1)
    return panel
