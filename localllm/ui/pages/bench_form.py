"""What is to be measured: models, and a preset or values of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout

from localllm.core.bench import Parameters
from localllm.core.bench.duration import predict_paces
from localllm.core.bench.presets import PRESETS, preset
from localllm.core.time_left import duration
from localllm.texts import plural, text
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.bench_matrix import BenchMatrix
from localllm.ui.pages.bench_presets import CHAT, PRESET_MEANINGS, PRESET_TITLES
from localllm.ui.pages.bench_queries import MOST_TESTS, Wanted, choose_quick, count_tests, foresee_seconds
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label
from localllm.ui.widgets.disclosure import Disclosure
from localllm.ui.widgets.model_picker import ModelPicker
from localllm.ui.widgets.patient import PatientComboBox
from localllm.ui.widgets.running_bar import RunningBar
from localllm.ui.widgets.term_link import make_term_link
from localllm.ui.widgets.turning_row import TurningRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.bench.duration import Pace
    from localllm.core.library import LibraryModel
    from localllm.ui.services import Services

_BESIDE = 620  # pixels from which the list has room beside the choices
_LIST_ROWS = 5
_OWN = ""  # the entry for values that are no preset's


class BenchForm(TurningRow):
    """Choices, how much they are, and how far a bench is.

    Signals:
        measure_asked: arg: `Wanted`.
    """

    measure_asked = Signal(object)

    def __init__(self, services: Services) -> None:
        super().__init__(_BESIDE, 18)
        self._services = services
        self._paces: list[Pace] | None = None
        self._asking: Job | None = None
        nothing = self.tr("No model on this disk can be measured yet. Discover has many.")
        self.picker = ModelPicker(self.tr("Models"), nothing, _LIST_ROWS)
        self.presets = PatientComboBox()
        self.matrix = BenchMatrix()
        self.values = Disclosure(self.tr("Values"), self.matrix)
        self.measure = make_button(self.tr("Measure"), primary=True)
        self.running = RunningBar(self.tr("How far the bench is"), self.tr("Cancel the bench"))
        self.plan = make_label(role="muted", wrap=True)
        self._build()
        self._connect()
        self._show_presets()

    def show_models(self, models: Sequence[LibraryModel]) -> None:
        """Show what can be measured; what was ticked stays so. One model alone is ticked."""
        first = not self.picker.checks.every
        self.picker.show_models(models)
        if first and len(models) == 1:
            self.picker.choose(models[0])
        self._show_plan()

    def choose_preset(self, name: str) -> None:
        """Choose what a preset measures, if it makes sense here."""
        place = self.presets.findData(name)
        if place >= 0:
            self.presets.setCurrentIndex(place)

    @property
    def wanted(self) -> Wanted | None:
        """What is chosen; None while the values make no sense."""
        chosen = cast("str", self.presets.currentData())
        if chosen != CHAT and self.matrix.problem is not None:
            return None
        title = PRESET_TITLES.get(chosen)
        name = title.template if title else ""
        models = tuple(self.picker.checks.chosen)
        if chosen == CHAT:
            return Wanted(models, Parameters(), name, chat=True)
        return Wanted(models, self.matrix.parameters, name, quick=chosen == "quick")

    def _build(self) -> None:
        self.parts.addWidget(self.picker, 1)
        self.parts.addLayout(self._build_choices(), 1)

    def _build_choices(self) -> QVBoxLayout:
        self.presets.setAccessibleName(self.tr("What to measure"))
        keep_height(self.presets)
        self._meaning = make_label(role="muted", wrap=True)
        column = QVBoxLayout()
        column.setSpacing(8)
        column.addWidget(make_label(self.tr("What to measure"), "heading"))
        column.addWidget(self.presets)
        column.addWidget(self._meaning)
        link = make_term_link(self.tr("What are reading and writing?"), "prompt-processing")
        column.addWidget(link, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.values)
        column.addWidget(self.plan)
        column.addWidget(self.measure, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.running)
        column.addStretch(1)
        return column

    def _connect(self) -> None:
        self.picker.checks.ticked.connect(self._on_ticked)
        self.presets.currentIndexChanged.connect(self._on_preset)
        self.matrix.changed.connect(self._on_edited)
        self.measure.clicked.connect(self._on_measure)
        self._services.computer.changed.connect(self._show_presets)

    def _show_presets(self) -> None:
        """Offer what makes sense here: without a usable GPU there is nothing to offload to."""
        machine = self._services.computer.machine
        gpus = bool(machine and machine.engine_gpus)
        before = self.presets.currentData()
        names = [name for name in PRESETS if name != "offload" or gpus]
        self.presets.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self.presets.clear()
        for name in names:
            self.presets.addItem(say(PRESET_TITLES[name]), name)
        self.presets.addItem(say(PRESET_TITLES[CHAT]), CHAT)
        self.presets.addItem(self.tr("Own values"), _OWN)
        self.presets.setCurrentIndex(max(0, self.presets.findData(before)) if before is not None else 0)
        self.presets.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        self._on_preset()

    def _on_ticked(self) -> None:
        self._paces = None
        if self.presets.currentData() in ("offload", "quick"):
            self._on_preset()
        self._show_plan()
        session, models = self._services.session, tuple(self.picker.checks.chosen)
        if models:
            reactions = Reactions(succeeded=self._on_paces)
            self._asking = self._services.jobs.run(
                lambda _progress: predict_paces(session, models), reactions
            )

    def _on_paces(self, paces: list[Pace] | None) -> None:
        if self.sender() is not self._asking or len(paces or ()) != len(self.picker.checks.chosen):
            return
        self._paces = paces
        if self.presets.currentData() == "quick":
            self._on_preset()
        self._show_plan()

    def _on_preset(self) -> None:
        name = cast("str", self.presets.currentData())
        self.values.setVisible(name != CHAT)
        if name == _OWN:
            self.values.unfold()
        elif name != CHAT:
            self.matrix.show_parameters(self._parameters(name))
        own = text("All combinations of the values below, in the spelling of llama-bench.")
        self._meaning.setText(say(PRESET_MEANINGS.get(name, own)))
        self._show_plan()

    def _parameters(self, name: str) -> Parameters:
        models = self.picker.checks.chosen
        if name == "quick" and self._paces and models:
            return choose_quick(models, self._paces)
        machine = self._services.computer.machine
        cores = machine.cpu.usable_cores if machine else 1
        layers = max((model.layers or 0 for model in models), default=0)
        return preset(name, cores, layers)

    def _on_edited(self) -> None:
        self.presets.setCurrentIndex(self.presets.findData(_OWN))
        self._show_plan()

    def _show_plan(self) -> None:
        wanted = self.wanted
        tests = count_tests(wanted) if wanted is not None else 0
        if wanted is None:
            problem = self.matrix.problem
            words = say(problem) if problem else ""
        elif not wanted.models:
            there = self.picker.checks.every  # else the empty list says what to do
            words = self.tr("Tick the models that are to be measured.") if there else ""
        elif wanted.chat:
            words = self.tr("Three chats with each model, then as many tokens with the bare engine.")
        elif tests == 0:
            words = self.tr("There is nothing to measure: write tokens to read or to write.")
        elif tests > MOST_TESTS:
            words = say(text("That would be {count} tests, more than {most}.", count=tests, most=MOST_TESTS))
        else:
            words = self._amount(wanted, tests)
        possible = wanted is not None and (wanted.chat or 0 < tests <= MOST_TESTS)
        self.measure.setEnabled(possible and bool(wanted and wanted.models))
        self.plan.setText(words)

    def _amount(self, wanted: Wanted, tests: int) -> str:
        if wanted.quick:
            return say(
                plural(
                    tests,
                    "1 test, as often as there is time for in half a minute.",
                    "{count} tests, as often as there is time for in half a minute.",
                )
            )
        times = plural(wanted.parameters.repetitions, "once", "{count} times each")
        amount = plural(tests, "1 test, {times}.", "{count} tests, {times}.", times=times)
        if self._paces is None:
            return say(amount)
        time = duration(foresee_seconds(wanted, self._paces))
        return say(text("{tests} That takes about {time}.", tests=amount, time=time))

    def _on_measure(self) -> None:
        wanted = self.wanted
        if wanted is not None:
            self.measure_asked.emit(wanted)
