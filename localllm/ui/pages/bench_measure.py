"""The Bench page's first tab: measures, and shows each result as soon as it is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from localllm.errors import MachineBusy, NotEnoughMemory, OwnWorkRuns
from localllm.texts import plural, text
from localllm.ui.errors import sentences_of
from localllm.ui.lab_work import Outcome, Task
from localllm.ui.own_work import OwnWork
from localllm.ui.pages.bench_chats import ChatResult, ChatResults
from localllm.ui.pages.bench_form import BenchForm
from localllm.ui.pages.bench_queries import Wanted, chat_with, count_tests, measure
from localllm.ui.pages.bench_results import BenchResults
from localllm.ui.pages.model_listing import ModelListing
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Action, Banner
from localllm.ui.widgets.basics import column_area, make_label

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

    from localllm.core.bench import BenchRow
    from localllm.core.bench.chat import ChatSpeed
    from localllm.core.library import LibraryModel
    from localllm.progress import Progress
    from localllm.texts import Text
    from localllm.ui.lab_work import Entry
    from localllm.ui.services import Services


class _Feed(QObject):
    """Carries results from the thread that measures to the window's.

    Signals:
        row: arg: `BenchRow`.
        chat: arg: `ChatResult`.
    """

    row = Signal(object)
    chat = Signal(object)


class MeasurePanel(QWidget):
    """A form above, results below.

    Signals:
        said: arg: a passing sentence.
    """

    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self.setAccessibleName(self.tr("Measure"))
        self.banner = Banner(services.theme)
        self.form = BenchForm(services)
        self.results = BenchResults(services)
        self.chats = ChatResults()
        self._listing = ModelListing(services, self)
        self._own = OwnWork(services.lab, self.form.running, self.form.measure)
        self._feed = _Feed(self)
        self._build()
        self._connect()

    def showEvent(self, event: QShowEvent) -> None:
        """Read the models."""
        super().showEvent(event)
        self.results.prepare()
        self._listing.refresh()

    def setFocus(self) -> None:
        """Begin where models are chosen."""
        self.form.picker.search.setFocus()

    def open_model(self, model: LibraryModel) -> None:
        """Propose to measure a model."""
        self._listing.refresh(model)

    def _build(self) -> None:
        self._hint = make_label(
            self.tr(
                "A bench reads and writes random tokens, as llama-bench does, and repeats it to see how much "
                "the figures vary. Nothing else of LocalLLM's works meanwhile; close what keeps the computer "
                "busy. What you measure also makes the predicted speeds truer."
            ),
            "muted",
            wrap=True,
        )
        parts = (self.banner, self.form, self._hint, self.results, self.chats)
        self.area = column_area(self.tr("Measure"), parts)
        self.results.hide()
        self.chats.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.area)

    def _connect(self) -> None:
        self.form.measure_asked.connect(self._on_measure_asked)
        self._feed.row.connect(self.results.add)
        self._feed.chat.connect(self.chats.add)
        for part in (self.results, self.chats):
            part.said.connect(self.said)
        for part in (self.results, self._listing):
            part.failed.connect(self._on_failed)
        self._listing.listed.connect(self._on_listed)
        self._own.began.connect(self._on_began)
        self._own.failed.connect(self._on_refused)
        self._own.cancelled.connect(self._on_cancelled)
        self._own.done.connect(self._on_done)
        self._own.changed.connect(self._on_changed)

    def _on_listed(self, models: list[LibraryModel], wanted: LibraryModel | None) -> None:
        self.form.show_models(models)
        if wanted is not None:
            self.form.picker.choose(wanted)
            self.area.verticalScrollBar().setValue(0)

    def _on_failed(self, error: Exception) -> None:
        self.banner.show_notice(sentences_of(error), "error")

    def _on_measure_asked(self, wanted: Wanted) -> None:
        self.banner.hide()
        self._own.start(self._chat_task(wanted) if wanted.chat else self._bench_task(wanted), wanted)

    def _bench_task(self, wanted: Wanted) -> Task:
        paths, threads = self._services.paths, self._services.preferences.settings.threads
        arrived = self._feed.row

        def work(progress: Progress) -> Outcome:
            rows: list[BenchRow] = []

            def keep(row: BenchRow) -> None:
                rows.append(row)
                arrived.emit(row)

            number = measure(paths, threads, wanted, keep, progress)
            return Outcome((_done(len(rows), number),), result=number)

        return Task(text("Bench of {models}", models=wanted.names), work)

    def _chat_task(self, wanted: Wanted) -> Task:
        paths, threads = self._services.paths, self._services.preferences.settings.threads
        arrived = self._feed.chat

        def work(progress: Progress) -> Outcome:
            def keep(model: LibraryModel, speed: ChatSpeed) -> None:
                arrived.emit(ChatResult(model, speed))

            count = chat_with(paths, threads, wanted, keep, progress)
            return Outcome((plural(count, "1 model in a chat.", "{count} models in a chat."),))

        return Task(text("Chats with {models}", models=wanted.names), work)

    def _on_began(self, _entry: Entry, wanted: Wanted) -> None:
        title = text("{name}: {models}", name=say(wanted.name), models=wanted.names)
        words = say(title) if wanted.name else wanted.names
        if wanted.chat:
            self.chats.clear()
        else:
            self.results.show_rows(words, (), expected=count_tests(wanted))
        self.chats.setVisible(wanted.chat)
        self.results.setVisible(not wanted.chat)
        self._hint.hide()

    def _on_done(self, entry: Entry, _wanted: Wanted) -> None:
        if entry.outcome is not None and entry.outcome.result == 0:
            self.banner.show_notice([say(sentence) for sentence in entry.outcome.sentences], "warning")

    def _on_changed(self) -> None:
        if self._own.active:
            return
        self.results.end()
        for part in (self.results, self.chats):
            part.setVisible(part.isVisibleTo(self) and bool(part.model.records))
        self._hint.setVisible(self.results.isHidden() and self.chats.isHidden())

    def _on_cancelled(self, _entry: Entry, wanted: Wanted) -> None:
        if wanted.chat:
            self.said.emit(self.tr("Cancelled. What was finished is shown below."))
        else:
            self.said.emit(self.tr("Cancelled. What was finished is in the history."))

    def _on_refused(self, entry: Entry, wanted: Wanted) -> None:
        actions: list[Action] = []
        own = isinstance(entry.error, OwnWorkRuns)
        if own:
            actions.append((self.tr("Try again"), lambda: self._on_measure_asked(wanted)))
        elif isinstance(entry.error, MachineBusy):
            again = replace(wanted, anyway=True)
            actions.append((self.tr("Measure anyway"), lambda: self._on_measure_asked(again)))
        helps = isinstance(entry.error, (MachineBusy, NotEnoughMemory)) and not own
        if helps and self._services.model.loaded is not None:
            words = self.tr("Unload the chat's model and measure")
            actions.append((words, lambda: self._unload_for(wanted)))
        if entry.error is not None:
            self.banner.show_notice(sentences_of(entry.error), "error", actions)
        self.area.verticalScrollBar().setValue(0)

    def _unload_for(self, wanted: Wanted) -> None:
        self._services.model.eject()
        self._on_measure_asked(wanted)


def _done(tests: int, number: int) -> Text:
    if not number:
        return text("Measured, but the history cannot be written: copy or save what is to be kept.")
    return plural(
        tests, "1 test, run {run} of the history.", "{count} tests, run {run} of the history.", run=number
    )
