"""The Lab's Quality tab: measures what a quantization costs, and shows what was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from localllm.errors import NotEnoughMemory
from localllm.texts import Bytes, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Job, Reactions
from localllm.ui.lab_work import Outcome, Task
from localllm.ui.own_work import OwnWork
from localllm.ui.pages.lab_quality_form import QualityForm, Wanted
from localllm.ui.pages.lab_quality_queries import (
    Asked,
    Findings,
    clear_references,
    find_results,
    key_of_result,
    load_numpy,
    measure,
    sentence_of_result,
)
from localllm.ui.pages.lab_report import QualityReport
from localllm.ui.pages.model_listing import ModelListing
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Action, Banner
from localllm.ui.widgets.basics import column_area

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

    from localllm.core.evaluate import Evaluation, Row
    from localllm.core.library import LibraryModel
    from localllm.progress import Progress
    from localllm.ui.lab_work import Entry
    from localllm.ui.services import Services


class QualityPanel(QWidget):
    """A form above, results below.

    Signals:
        chat_asked: A model is to be used. arg: `LibraryModel`.
        said: arg: a passing sentence.
    """

    chat_asked = Signal(object)
    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._reading: Job | None = None
        self._newest: Evaluation | None = None
        self.setAccessibleName(self.tr("Quality"))
        self.banner = Banner(services.theme)
        self.form = QualityForm(services)
        self.report = QualityReport(services.theme, services.jobs)
        self._listing = ModelListing(services, self, load_numpy)
        self._own = OwnWork(services.lab, self.form.running, self.form.measure)
        self._build()
        self._connect()

    def showEvent(self, event: QShowEvent) -> None:
        """Read models and results."""
        super().showEvent(event)
        self.refresh()

    def setFocus(self) -> None:
        """Begin where models are chosen."""
        self.form.picker.search.setFocus()

    def open_model(self, model: LibraryModel) -> None:
        """Propose to measure a model against what it was made from."""
        self._read()
        self._listing.refresh(model)

    def refresh(self) -> None:
        """Read the models and the results again."""
        self._read()
        self._listing.refresh()

    def _read(self) -> None:
        paths = self._services.paths
        reactions = Reactions(succeeded=self._on_read, failed=self._on_unread)
        self._reading = self._services.jobs.run(lambda _progress: find_results(paths), reactions)

    def _build(self) -> None:
        self.area = column_area(self.tr("Quality"), (self.banner, self.form, self.report))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.area)

    def _connect(self) -> None:
        self.form.measure_asked.connect(self._on_measure_asked)
        self.form.failed.connect(self._show_error)
        self.report.use_asked.connect(self._on_use_asked)
        self.report.clear_asked.connect(self._on_clear_asked)
        self.report.said.connect(self.said)
        self.report.failed.connect(self._show_error)
        self._listing.listed.connect(self._on_listed)
        self._listing.failed.connect(self._on_failed)
        self._own.done.connect(self._on_done)
        self._own.failed.connect(self._on_refused)

    def _on_listed(self, models: list[LibraryModel], wanted: LibraryModel | None) -> None:
        self.form.show_models(models)
        if wanted is not None:
            self.form.picker.choose(wanted)
            self.area.verticalScrollBar().setValue(0)

    def _on_read(self, findings: Findings) -> None:
        if self.sender() is not self._reading:
            return
        newest, self._newest = self._newest, None
        if newest is None:
            self.report.show_findings(findings)
        else:
            self.report.show_findings(findings, key_of_result(newest), newest.model.path)

    def _on_unread(self, error: Exception) -> None:
        self.report.show_unread()
        self._on_failed(error)

    def _on_failed(self, error: Exception) -> None:
        self.banner.show_notice(sentences_of(error), "error", ((self.tr("Try again"), self.refresh),))

    def _show_error(self, error: Exception) -> None:
        self.banner.show_notice(sentences_of(error), "error")

    def _on_measure_asked(self, wanted: Wanted) -> None:
        self.banner.hide()
        for model in wanted.models:
            self._start(
                Asked(model, wanted.base, wanted.text, wanted.chunks, wanted.kv_type_k, wanted.kv_type_v)
            )

    def _start(self, asked: Asked) -> None:
        paths, threads = self._services.paths, self._services.preferences.settings.threads

        def work(progress: Progress) -> Outcome:
            result = measure(paths, threads, asked, progress)
            return Outcome((sentence_of_result(result),), result=result)

        self._own.start(Task(text("Quality of {model}", model=asked.model.name), work), asked)

    def _on_done(self, entry: Entry, _asked: Asked) -> None:
        if entry.outcome is not None:
            self._newest = cast("Evaluation", entry.outcome.result)
            self.refresh()

    def _on_refused(self, entry: Entry, asked: Asked) -> None:
        actions: list[Action] = []
        if isinstance(entry.error, NotEnoughMemory):
            actions.append((self.tr("Measure anyway"), lambda: self._start(replace(asked, anyway=True))))
        if entry.error is not None:
            self.banner.show_notice(sentences_of(entry.error), "error", actions)

    def _on_use_asked(self, row: Row) -> None:
        library = self._services.library
        reactions = Reactions(succeeded=self._on_found, failed=self._on_failed)
        self._services.jobs.run(lambda _progress: (library.find(row.model.path), row.cache), reactions)

    def _on_found(self, found: tuple[LibraryModel, str]) -> None:
        """Chat with a model; one whose cache was measured is loaded with that cache."""
        model, cache = found
        keys, _, values = cache.partition("/")
        if keys == values == "f16":
            self.chat_asked.emit(model)
            return
        settings = self._services.preferences.load_settings()
        self._services.model.load(model, replace(settings, kv_type_k=keys, kv_type_v=values))
        words = text("{model} is being loaded with a {cache} cache.", model=model.name, cache=cache)
        self.said.emit(say(words))

    def _on_clear_asked(self) -> None:
        paths = self._services.paths
        reactions = Reactions(succeeded=self._on_cleared, failed=self._on_failed)
        self._services.jobs.run(lambda _progress: clear_references(paths), reactions)

    def _on_cleared(self, freed: int) -> None:
        self.said.emit(say(text("{size} are free again.", size=Bytes(freed))))
        self.refresh()
