"""What is to be measured: models, what they were made from, a text, how much of it, the cache's types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QVBoxLayout,
    QWidget,
)

from localllm.engine.passes import CHUNK_TOKENS
from localllm.engine.protocol import KV_TYPES
from localllm.texts import Bytes, Text, plural, text
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.lab_quality_queries import find_need, is_full_precision, references_of
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label
from localllm.ui.widgets.model_picker import ModelPicker
from localllm.ui.widgets.patient import PatientComboBox, PatientSpinBox
from localllm.ui.widgets.running_bar import RunningBar
from localllm.ui.widgets.term_link import make_term_link
from localllm.ui.widgets.turning_row import TurningRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.library import LibraryModel
    from localllm.ui.services import Services

_BESIDE = 620  # pixels from which the list has room beside the choices
_MOST_CHUNKS = 10_000
_USUAL_CHUNKS = 16
_LIST_ROWS = 7
_OTHER = "other"  # the entry of a combo box that opens a file dialog


@dataclass(frozen=True)
class Wanted:
    """What was chosen; see `Asked`."""

    models: tuple[LibraryModel, ...]
    base: LibraryModel | None
    text: Path | None
    chunks: int
    kv_type_k: str
    kv_type_v: str


class QualityForm(TurningRow):
    """Choices, and what they will take.

    Signals:
        measure_asked: arg: `Wanted`.
        failed: A file cannot be taken. arg: the exception.
    """

    measure_asked = Signal(object)
    failed = Signal(object)

    def __init__(self, services: Services) -> None:
        super().__init__(_BESIDE, 18)
        self._services = services
        self._asking: Job | None = None
        self._opening: Job | None = None
        self._more: list[LibraryModel] = []  # references that are no models of the library's
        nothing = self.tr(
            "No model on this disk can be measured yet. Discover has many, and Convert makes them."
        )
        self.picker = ModelPicker(self.tr("What to measure"), nothing, _LIST_ROWS)
        self.reference, self.text = PatientComboBox(), PatientComboBox()
        self.keys, self.values = PatientComboBox(), PatientComboBox()
        self.chunks = PatientSpinBox()
        self.measure = make_button(self.tr("Measure"), primary=True)
        self.running = RunningBar(self.tr("How far the measurement is"), self.tr("Cancel the measurement"))
        self.plan = make_label(role="muted", wrap=True)
        self._build()
        self._connect()
        self._show_references()

    def show_models(self, models: Sequence[LibraryModel]) -> None:
        """Show what can be measured; what was ticked stays so."""
        self.picker.show_models(models)
        self._show_references()

    @property
    def wanted(self) -> Wanted:
        """What is chosen."""
        base = cast("LibraryModel | None", self.reference.currentData())
        keys = cast("str", self.keys.currentData())
        values = cast("str", self.values.currentData()) or keys
        plain = keys == values == "f16"
        itself = base.path if plain and base else None
        models = [model for model in self.picker.checks.chosen if model.path != itself]
        file = cast("Path | None", self.text.currentData())
        return Wanted(tuple(models), base, file, self.chunks.value(), keys, values)

    def _build(self) -> None:
        self.parts.addWidget(self.picker, 1)
        self.parts.addLayout(self._build_choices(), 1)

    def _build_choices(self) -> QVBoxLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        self._fill_choices()
        for line, (words, control, help_) in enumerate(self._choices()):
            label = make_label(words)
            label.setBuddy(control)
            for widget in (label, control):
                widget.setToolTip(help_)
            control.setAccessibleName(words)
            control.setAccessibleDescription(help_)
            keep_height(control)
            grid.addWidget(label, line, 0)
            grid.addWidget(control, line, 1)
        column = QVBoxLayout()
        column.setSpacing(8)
        column.addWidget(make_label(self.tr("Against what, on what"), "heading"))
        link = make_term_link(self.tr("What is the KL divergence?"), "kl-divergence")
        column.addWidget(link, 0, Qt.AlignmentFlag.AlignLeft)
        column.addLayout(grid)
        column.addWidget(self.plan)
        column.addWidget(self.measure, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.running)
        column.addStretch(1)
        return column

    def _choices(self) -> tuple[tuple[str, QWidget, str], ...]:
        return (
            (
                self.tr("Made from"),
                self.reference,
                self.tr("The same model in full precision: its predictions are the measure of all others."),
            ),
            (
                self.tr("Text"),
                self.text,
                self.tr("What both read. Figures of different texts cannot be compared."),
            ),
            (
                self.tr("Chunks"),
                self.chunks,
                self.tr("Pieces of 512 tokens; half of each is scored. More take longer and are surer."),
            ),
            (
                self.tr("Cache: keys"),
                self.keys,
                self.tr("The type of the context's cache, whose cost is measured too where it is not f16."),
            ),
            (self.tr("Cache: values"), self.values, self.tr("The type of the other half of the cache.")),
        )

    def _fill_choices(self) -> None:
        for combo in (self.reference, self.text):
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(12)
        self.text.addItem(self.tr("LocalLLM's own, English and Spanish"), None)
        self.text.addItem(self.tr("A text file…"), _OTHER)
        self.chunks.setRange(0, _MOST_CHUNKS)
        self.chunks.setSpecialValueText(self.tr("The whole text"))
        self.chunks.setValue(_USUAL_CHUNKS)
        self.values.addItem(self.tr("As the keys"), "")
        for kind in KV_TYPES:
            self.keys.addItem(kind, kind)
            self.values.addItem(kind, kind)

    def _connect(self) -> None:
        self.picker.checks.ticked.connect(self._show_references)
        self.reference.activated.connect(self._on_reference)
        self.text.activated.connect(self._on_text)
        self.chunks.valueChanged.connect(self._show_plan)
        self.keys.currentIndexChanged.connect(self._on_cache)
        self.values.currentIndexChanged.connect(self._on_cache)
        self.measure.clicked.connect(lambda: self.measure_asked.emit(self.wanted))

    def _show_references(self) -> None:
        """Offer what all that is ticked may have been made from; what was chosen stays if it is offered."""
        before = cast("LibraryModel | None", self.reference.currentData())
        offered = [*self._references(), *self._more]
        combo = self.reference
        combo.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        combo.clear()
        combo.addItem("", None)
        for model in offered:
            combo.addItem(model.name, model)
        combo.addItem(self.tr("Another file…"), _OTHER)
        paths = [model.path for model in offered]
        kept = paths.index(before.path) if before and before.path in paths else -1
        proposed = next((n for n, model in enumerate(offered) if is_full_precision(model)), -1)
        combo.setCurrentIndex(1 + (kept if kept >= 0 else proposed))
        combo.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        self._on_cache()

    def _references(self) -> list[LibraryModel]:
        chosen = self.picker.checks.chosen
        if not chosen:
            return []
        every = self.picker.checks.every
        offered = [[*references_of(model, every), model] for model in chosen]
        return [
            model
            for model in offered[0]
            if all(model in others for others in offered) and (len(chosen) > 1 or model is not chosen[0])
        ]

    def _on_cache(self) -> None:
        wanted = self.wanted
        plain = wanted.kv_type_k == wanted.kv_type_v == "f16"
        self.reference.setItemText(
            0, self.tr("None: perplexity alone") if plain else self.tr("Itself with an f16 cache")
        )
        self._show_plan()

    def _show_plan(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        wanted = self.wanted
        self.measure.setEnabled(bool(wanted.models))
        self._say_plan(self._sentences(wanted))
        base = wanted.base
        if wanted.models and base is not None:
            paths = self._services.paths
            reactions = Reactions(
                succeeded=self._on_need
            )  # what is wrong with a file is said when it is read
            self._asking = self._services.jobs.run(
                lambda _progress: find_need(paths, base, wanted.text, wanted.chunks), reactions
            )

    def _on_need(self, size: int) -> None:
        if self.sender() is not self._asking:
            return
        need = text(
            "The reference's predictions take up to {size} on the disk; they are kept, so that the next "
            "model takes one pass.",
            size=Bytes(size),
        )
        kept = text("The reference's predictions are kept already: one pass is enough.")
        self._say_plan([*self._sentences(self.wanted), need if size else kept])

    def _sentences(self, wanted: Wanted) -> list[Text]:
        if not wanted.models:
            if self.picker.checks.chosen:
                return [text("What is ticked is the reference itself: tick what was made from it.")]
            return [text("Tick the models that are to be measured.")]
        found = [self._amount(wanted)]
        if wanted.base is None and wanted.kv_type_k == wanted.kv_type_v == "f16":
            found.append(
                text(
                    "Perplexity alone does not say what a quantization cost. For that choose the model that "
                    "it was made from, in F16 or BF16: Discover may have it, or the Convert tab makes it."
                )
            )
        elif wanted.base is not None and not is_full_precision(wanted.base):
            found.append(
                text(
                    "{model} is itself quantized: the figures say how far from it the others are, not how "
                    "far from the original.",
                    model=wanted.base.name,
                )
            )
        return found

    def _amount(self, wanted: Wanted) -> Text:
        if wanted.chunks == 0:
            return plural(len(wanted.models), "One model, the whole text.", "{count} models, the whole text.")
        return plural(
            len(wanted.models),
            "One model, {tokens} tokens.",
            "{count} models, {tokens} tokens each.",
            tokens=wanted.chunks * CHUNK_TOKENS,
        )

    def _say_plan(self, sentences: Sequence[Text]) -> None:
        self.plan.setText(" ".join(say(sentence) for sentence in sentences))

    def _on_reference(self) -> None:
        if self.reference.currentData() == _OTHER:
            self.reference.setCurrentIndex(0)
            self._choose_file(
                self.tr("What they were made from"), self.tr("GGUF models (*.gguf)"), self.take_reference
            )
        self._on_cache()

    def _on_text(self) -> None:
        if self.text.currentData() == _OTHER:
            self.text.setCurrentIndex(0)
            self._choose_file(
                self.tr("A text to measure with"), self.tr("Texts (*.txt *.md *.raw)"), self.take_text
            )
        self._show_plan()

    def take_text(self, file: Path) -> None:
        """Measure with a text file."""
        place = next((n for n in range(self.text.count()) if self.text.itemData(n) == file), -1)
        if place < 0:
            place = self.text.count() - 1
            self.text.insertItem(place, file.name, file)
        self.text.setCurrentIndex(place)
        self._show_plan()

    def take_reference(self, file: Path) -> None:
        """Compare with a model file."""
        library = self._services.library
        reactions = Reactions(succeeded=self._on_reference_read, failed=self.failed.emit)
        self._opening = self._services.jobs.run(lambda _progress: library.find(str(file)), reactions)

    def _on_reference_read(self, model: LibraryModel) -> None:
        if model.path not in [one.path for one in self._more]:
            self._more.append(model)
        self._show_references()
        for place in range(1, self.reference.count() - 1):
            if cast("LibraryModel", self.reference.itemData(place)).path == model.path:
                self.reference.setCurrentIndex(place)
        self._on_cache()

    def _choose_file(self, title: str, kinds: str, take: Callable[[Path], None]) -> None:
        dialog = QFileDialog(self, title, str(Path.home()))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilters([kinds, self.tr("All files (*)")])
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

        def accept(name: str) -> None:
            take(Path(name))

        dialog.fileSelected.connect(accept)
        dialog.open()
