"""The Bench page's first tab: measures, and shows each result as soon as it is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from localllm.errors import LocalLLMError, MachineBusy
from localllm.texts import plural, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Job, Reactions
from localllm.ui.lab_work import Entry, Outcome, Task
from localllm.ui.pages.bench_form import BenchForm
from localllm.ui.pages.bench_queries import Wanted, find_models, measure
from localllm.ui.pages.bench_results import BenchResults
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Action, Banner
from localllm.ui.widgets.basics import PageBody, ScrollArea, make_label

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

    from localllm.core.bench import BenchRow
    from localllm.core.library import LibraryModel
    from localllm.progress import Progress
    from localllm.ui.services import Services


class _Feed(QObject):
    """Carries rows from the thread that measures to the window's.

    Signals:
        arrived: arg: `BenchRow`.
    """

    arrived = Signal(object)


class MeasurePanel(QWidget):
    """A form above, results below.

    Signals:
        said: arg: a passing sentence.
    """

    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services, self._work = services, services.lab
        self._listing: Job | None = None
        self._mine: dict[Entry, Wanted] = {}
        self._feeds: dict[Entry, _Feed] = {}
        self._wanted_model: LibraryModel | None = None
        self.setAccessibleName(self.tr("Measure"))
        self.banner = Banner(services.theme)
        self.form = BenchForm(services)
        self.results = BenchResults(services)
        self._build()
        self._connect()

    def showEvent(self, event: QShowEvent) -> None:
        """Read the models."""
        super().showEvent(event)
        self.results.chart.prepare()
        self.refresh()

    def setFocus(self) -> None:
        """Begin where models are chosen."""
        self.form.search.setFocus()

    def open_model(self, model: LibraryModel) -> None:
        """Propose to measure a model."""
        self._wanted_model = model
        self.refresh()

    def refresh(self) -> None:
        """Read the models again."""
        library = self._services.library
        reactions = Reactions(succeeded=self._on_listed, failed=self._on_failed)
        self._listing = self._services.jobs.run(lambda _progress: find_models(library), reactions)

    def _build(self) -> None:
        body = PageBody()
        inside = QVBoxLayout(body)
        inside.setContentsMargins(0, 0, 8, 0)
        inside.setSpacing(14)
        self._hint = make_label(
            self.tr(
                "A bench reads and writes random tokens, as llama-bench does, and repeats it to see how much "
                "the figures vary. Nothing else of LocalLLM's works meanwhile; close what keeps the computer "
                "busy. What you measure also makes the predicted speeds truer."
            ),
            "muted",
            wrap=True,
        )
        for widget in (self.banner, self.form, self._hint, self.results):
            inside.addWidget(widget)
        inside.addStretch(1)
        self.results.hide()
        self.area = ScrollArea(self.tr("Measure"), body)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.area)

    def _connect(self) -> None:
        self.form.measure_asked.connect(self._on_measure_asked)
        self.form.cancel_asked.connect(self._on_cancel)
        self.results.said.connect(self.said)
        self.results.failed.connect(self._on_failed)
        self._work.progressed.connect(self._on_progressed)
        self._work.changed.connect(self._on_changed)

    def _on_listed(self, models: list[LibraryModel]) -> None:
        if self.sender() is not self._listing:
            return
        wanted, self._wanted_model = self._wanted_model, None
        self.form.show_models(models)
        if wanted is not None:
            self.form.choose(wanted)
            self.area.verticalScrollBar().setValue(0)

    def _on_failed(self, error: Exception) -> None:
        self.banner.show_notice(sentences_of(error), "error")

    def _on_measure_asked(self, wanted: Wanted) -> None:
        self.banner.hide()
        paths, threads = self._services.paths, self._services.preferences.settings.threads
        feed = _Feed(self)
        feed.arrived.connect(self._on_row)
        arrived = feed.arrived

        def work(progress: Progress) -> Outcome:
            rows: list[BenchRow] = []

            def keep(row: BenchRow) -> None:
                rows.append(row)
                arrived.emit(row)

            number = measure(paths, threads, wanted, keep, progress)
            done = plural(
                len(rows),
                "1 test, run {run} of the history.",
                "{count} tests, run {run} of the history.",
                run=number,
            )
            return Outcome((done,), result=number)

        names = ", ".join(model.name for model in wanted.models)
        entry = self._work.start(Task(text("Bench of {models}", models=names), work))
        self._mine[entry], self._feeds[entry] = wanted, feed
        self._on_changed(entry)

    def _on_row(self, row: BenchRow) -> None:
        self.results.add(row)

    def _on_cancel(self) -> None:
        for entry in self._mine:
            if entry.active:
                self._work.cancel(entry)

    def _on_progressed(self, entry: Entry) -> None:
        how_far = entry.how_far
        if entry in self._mine and how_far is not None and how_far.note is not None:
            self.form.show_running(say(how_far.note), how_far)

    def _on_changed(self, entry: Entry) -> None:
        if entry not in self._mine:
            return
        if entry.state == "running":
            wanted = self._mine[entry]
            title = text("{name}: {models}", name=say(wanted.name), models=self._names(wanted))
            self.results.show_rows(say(title) if wanted.name else self._names(wanted), ())
            self.results.show()
            self._hint.hide()
        elif entry.state == "cancelled":
            self.said.emit(self.tr("Cancelled. What was finished is in the history."))
        elif entry.state == "failed" and isinstance(entry.error, Exception):
            self._on_refused(entry.error, self._mine[entry])
        self._show_running()

    def _names(self, wanted: Wanted) -> str:
        return ", ".join(model.name for model in wanted.models)

    def _show_running(self) -> None:
        running = [entry for entry in self._mine if entry.active]
        if not running:
            self.form.show_idle()
        elif all(entry.how_far is None for entry in running):
            waits = all(entry.state == "waiting" for entry in running)
            words = self.tr("It begins as soon as other work is done…") if waits else self.tr("Starting…")
            self.form.show_running(words, None)

    def _on_refused(self, error: Exception, wanted: Wanted) -> None:
        actions: list[Action] = []
        if isinstance(error, MachineBusy):
            again = replace(wanted, anyway=True)
            actions.append((self.tr("Measure anyway"), lambda: self._on_measure_asked(again)))
        if isinstance(error, LocalLLMError) and self._services.model.loaded is not None:
            words = self.tr("Unload the chat's model and measure")
            actions.append((words, lambda: self._unload_for(wanted)))
        self.banner.show_notice(sentences_of(error), "error", actions)
        self.area.verticalScrollBar().setValue(0)

    def _unload_for(self, wanted: Wanted) -> None:
        self._services.model.eject()
        self._on_measure_asked(wanted)
