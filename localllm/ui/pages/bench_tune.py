"""The Bench page's last tab: searches the settings that make one model fastest here, and keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from localllm.core.bench.tuned_profile import PROFILE, forget_best, keep_best
from localllm.errors import MachineBusy, OwnWorkRuns
from localllm.texts import Bytes, Number, Text, plural, text
from localllm.ui.errors import sentences_of
from localllm.ui.itemmodels.bench import short_setting
from localllm.ui.itemmodels.records import Column, RecordTable
from localllm.ui.jobs import Reactions
from localllm.ui.lab_work import Outcome, Task
from localllm.ui.own_work import OwnWork
from localllm.ui.pages.bench_queries import Tuned, search_best
from localllm.ui.pages.model_listing import ModelListing
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Action, Banner
from localllm.ui.widgets.basics import make_button, make_label
from localllm.ui.widgets.patient import PatientComboBox
from localllm.ui.widgets.record_view import RecordView
from localllm.ui.widgets.running_bar import RunningBar

if TYPE_CHECKING:
    from PySide6.QtCore import QObject
    from PySide6.QtGui import QShowEvent

    from localllm.core.bench.tune import Trial
    from localllm.core.bench.tuned_profile import Kept
    from localllm.core.library import LibraryModel
    from localllm.progress import Progress
    from localllm.ui.lab_work import Entry
    from localllm.ui.services import Services

_FIELDS = {
    "threads": "n_threads",
    "gpu_layers": "n_gpu_layers",
    "expert_layers": "n_cpu_moe",
    "batches": "n_batch",
    "ubatches": "n_ubatch",
    "kv_types_k": "type_k",
    "kv_types_v": "type_v",
}


class TrialTable(RecordTable["Trial"]):
    """One row for each way that was tried."""

    def __init__(self, tuned: Tuned, parent: QObject | None = None) -> None:
        best = tuned.tuning.best
        columns: tuple[Column[Trial], ...] = (
            Column(text("Settings"), settings_of, lambda trial: say(settings_of(trial))),
            Column(
                text("Reading"), lambda trial: _speed(trial.reading), lambda trial: trial.reading, right=True
            ),
            Column(
                text("Writing"), lambda trial: _speed(trial.writing), lambda trial: trial.writing, right=True
            ),
            Column(text("A turn"), _turn, lambda trial: trial.seconds or 1e9, right=True),
            Column(text("Memory"), _memory, lambda trial: trial.memory, right=True),
            Column(text("Quality"), _quality, lambda trial: trial.cost.divergence if trial.cost else 0.0),
            Column(text("Remarks"), lambda trial: _remark(trial, best), lambda trial: trial is not best),
        )
        super().__init__(columns, parent)
        self.show_records(list(tuned.tuning.trials))


def settings_of(trial: Trial) -> Text | str:
    """Return what a trial has otherwise than the usual way."""
    if not trial.changed:
        return text("as usual")
    flash = say(text("without flash attention"))
    return " · ".join(
        flash if name == "flash" else short_setting(_FIELDS.get(name, name), value)
        for name, value in trial.changed.items()
    )


def _speed(speed: float) -> Text | str:
    return text("{speed}", speed=Number(speed, 1)) if speed else "–"


def _turn(trial: Trial) -> Text | str:
    return text("{seconds} s", seconds=Number(trial.seconds, 1)) if trial.seconds else "–"


def _memory(trial: Trial) -> Text | str:
    return text("{size}", size=Bytes(trial.memory)) if trial.memory else "–"


def _quality(trial: Trial) -> Text | str:
    """Return what a smaller cache costs; everything else leaves the answers as they are."""
    if trial.cost is not None:
        return text(
            "divergence {value}, same first choice {share} %",
            value=Number(trial.cost.divergence, 4),
            share=Number(100 * trial.cost.same_top, 1),
        )
    return text("not measured") if trial.lossy and trial.failure is None else text("the same")


def _remark(trial: Trial, best: Trial | None) -> Text | str:
    if trial.failure is not None:
        return trial.failure
    if trial is best:
        return text("best")
    return text("changes the answers, so it is never chosen") if trial.lossy else ""


def _conclusion(tuned: Tuned) -> Text:
    """Return what the search showed."""
    name, best = tuned.model.name, tuned.tuning.best
    if best is None:
        return text("None of these settings works for “{name}”.", name=name)
    if best.changed:
        return text("Fastest for “{name}”: {settings}.", name=name, settings=settings_of(best))
    if len(tuned.tuning.trials) == 1:
        return text("For “{name}” there was time for the usual way only.", name=name)
    return text("For “{name}” nothing is clearly faster than the usual way.", name=name)


class TunePanel(QWidget):
    """Chooses a model, searches, and offers to keep what was found.

    Signals:
        said: arg: a passing sentence.
    """

    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._tuned: Tuned | None = None
        self.setAccessibleName(self.tr("Tune"))
        self.banner = Banner(services.theme)
        self.models = PatientComboBox()
        self.start = make_button(self.tr("Tune"), primary=True, name=self.tr("Search the fastest settings"))
        self.running = RunningBar(self.tr("How far the search is"), self.tr("Cancel the search"))
        self.save = make_button(self.tr("Save as this model's load profile"), primary=True)
        self.table = RecordView(self.tr("What was tried"))
        self._listing = ModelListing(services, self)
        self._own = OwnWork(services.lab, self.running, self.start)
        self._build()
        self._connect()

    def showEvent(self, event: QShowEvent) -> None:
        """Read the models."""
        super().showEvent(event)
        self._listing.refresh()

    def setFocus(self) -> None:
        """Begin where the model is chosen."""
        self.models.setFocus()

    def open_model(self, model: LibraryModel) -> None:
        """Propose to tune a model."""
        self._listing.refresh(model)

    def _build(self) -> None:
        self._build_models()
        self._found = make_label(wrap=True)
        row, kept = QHBoxLayout(), QHBoxLayout()
        row.addWidget(self.models, 1)
        row.addWidget(self.start)
        row.addStretch(1)
        kept.addWidget(self._found, 1)
        kept.addWidget(self.save)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(12)
        column.addWidget(self.banner)
        column.addWidget(self._make_hint())
        column.addLayout(row)
        column.addWidget(self.running)
        column.addLayout(kept)
        column.addWidget(self.table, 1)
        column.addStretch(0)
        for widget in (self._found, self.save, self.table):
            widget.hide()

    def _build_models(self) -> None:
        self.models.setAccessibleName(self.tr("Model to tune"))
        self.models.setSizeAdjustPolicy(
            PatientComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.models.setMinimumContentsLength(24)
        self.models.setPlaceholderText(
            self.tr("No model on this disk can be measured yet. Discover has many.")
        )

    def _make_hint(self) -> QLabel:
        return make_label(
            self.tr(
                "Tries threads, flash attention, batches, and layers or experts on the GPU where there is "
                "one, for about two minutes, and shows what each costs in memory and quality. A turn is a "
                "chat's: 512 tokens read, 128 written. The best can become what this model is loaded with "
                "from now on."
            ),
            "muted",
            wrap=True,
        )

    def _connect(self) -> None:
        self.start.clicked.connect(self._on_start)
        self.save.clicked.connect(self._on_save)
        self._listing.listed.connect(self._on_listed)
        self._listing.failed.connect(self._on_failed)
        self._own.changed.connect(self._show_start)
        self._own.done.connect(self._on_done)
        self._own.failed.connect(self._on_refused)

    def _on_listed(self, models: list[LibraryModel], wanted: LibraryModel | None) -> None:
        before = wanted or cast("LibraryModel | None", self.models.currentData())
        self.models.clear()
        for model in models:
            self.models.addItem(model.name, model)
        paths = [model.path for model in models]
        if paths:  # with a placeholder none is chosen by itself
            place = paths.index(before.path) if before is not None and before.path in paths else 0
            self.models.setCurrentIndex(place)
        self._show_start()

    def _on_failed(self, error: Exception) -> None:
        self.banner.show_notice(sentences_of(error), "error")

    def _on_start(self) -> None:
        self._search(cast("LibraryModel", self.models.currentData()), anyway=False)

    def _search(self, model: LibraryModel, *, anyway: bool) -> None:
        self.banner.hide()
        paths = self._services.paths

        def work(progress: Progress) -> Outcome:
            tuned = search_best(paths, model, progress, anyway=anyway)
            tried = len(tuned.tuning.trials)
            done = plural(tried, "Tried one way to load it.", "Tried {count} ways to load it.")
            return Outcome((done,), result=tuned)

        self._own.start(Task(text("Tuning of {model}", model=model.name), work), model)

    def _on_done(self, entry: Entry, _model: LibraryModel) -> None:
        if entry.outcome is not None:
            self._show_tuned(cast("Tuned", entry.outcome.result))

    def _on_refused(self, entry: Entry, model: LibraryModel) -> None:
        actions: list[Action] = []
        if isinstance(entry.error, OwnWorkRuns):
            actions.append((self.tr("Try again"), lambda: self._search(model, anyway=False)))
        elif isinstance(entry.error, MachineBusy):
            actions.append((self.tr("Measure anyway"), lambda: self._search(model, anyway=True)))
        if entry.error is not None:
            self.banner.show_notice(sentences_of(entry.error), "error", actions)

    def _show_start(self) -> None:
        self.start.setEnabled(not self._own.active and self.models.count() > 0)

    def _show_tuned(self, tuned: Tuned) -> None:
        self._tuned = tuned
        self.table.show_table(TrialTable(tuned, self))
        self.table.resizeColumnsToContents()
        self.table.horizontalHeader().setStretchLastSection(True)
        best = tuned.tuning.best
        if best is not None:
            self.table.choose_row(tuned.tuning.trials.index(best))
        self._found.setText(say(_conclusion(tuned)))
        self.save.setEnabled(True)
        self.save.setVisible(best is not None)
        for widget in (self._found, self.table):
            widget.show()

    def _on_save(self) -> None:
        tuned, library = self._tuned, self._services.library
        if tuned is None or tuned.tuning.best is None:
            return
        model = tuned.model
        settings = tuned.tuning.best.settings(self._services.preferences.load_settings(), tuned.cores)
        reactions = Reactions(succeeded=lambda kept: self._on_saved(model, kept), failed=self._on_failed)
        self._services.jobs.run(lambda _progress: keep_best(library, model.path, settings), reactions)

    def _on_saved(self, model: LibraryModel, kept: Kept) -> None:
        self.save.setEnabled(False)
        words = say(
            text("Kept as the load profile “{profile}” of “{name}”.", profile=PROFILE, name=model.name)
        )
        self.said.emit(words)
        self._services.undo.offer(words, lambda: self._undo(model, kept))

    def _undo(self, model: LibraryModel, kept: Kept) -> None:
        library = self._services.library
        reactions = Reactions(succeeded=lambda _: self._on_undone(model), failed=self._on_failed)
        self._services.jobs.run(lambda _progress: forget_best(library, kept), reactions)

    def _on_undone(self, model: LibraryModel) -> None:
        self.save.setEnabled(True)
        self.said.emit(say(text("“{name}” is loaded as before.", name=model.name)))
