"""What is to be measured: models, what they were made from, a text, how much of it, the cache's types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QBoxLayout,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QListView,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from localllm.engine.passes import CHUNK_TOKENS
from localllm.engine.protocol import KV_TYPES
from localllm.texts import Bytes, Text, plural, text
from localllm.ui.itemmodels.quality import ModelChecks
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.lab_quality_queries import find_need, is_full_precision, references_of
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label
from localllm.ui.widgets.line_heights import keep_height
from localllm.ui.widgets.patient import PatientComboBox, PatientSpinBox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QResizeEvent

    from localllm.core.library import LibraryModel
    from localllm.ui.jobs import HowFar
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


class QualityForm(QWidget):
    """Choices, and what they will take.

    Signals:
        measure_asked: arg: `Wanted`.
        failed: A file cannot be taken. arg: the exception.
    """

    measure_asked = Signal(object)
    failed = Signal(object)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._asking: Job | None = None
        self._opening: Job | None = None
        self._more: list[LibraryModel] = []  # references that are no models of the library's
        self.models = ModelChecks(self)
        self.search = QLineEdit()
        self.list = QListView()
        self.reference, self.text = PatientComboBox(), PatientComboBox()
        self.keys, self.values = PatientComboBox(), PatientComboBox()
        self.chunks = PatientSpinBox()
        self.measure = make_button(self.tr("Measure"), primary=True)
        self.plan = make_label(role="muted", wrap=True)
        self._build()
        self._connect()
        self._show_references()

    def show_models(self, models: Sequence[LibraryModel]) -> None:
        """Show what can be measured; what was ticked stays so."""
        self.models.show_models(models)
        self._nothing.setVisible(not models)
        self._show_references()

    def choose(self, model: LibraryModel) -> None:
        """Tick one model alone, and propose what it was made from."""
        self.search.clear()
        if self.models.row_of(str(model.path)) < 0:
            self.models.show_models([*self.models.every, model])
        self.models.choose([model])
        self.list.scrollTo(self.models.index(self.models.row_of(str(model.path))))

    @property
    def wanted(self) -> Wanted:
        """What is chosen."""
        base = cast("LibraryModel | None", self.reference.currentData())
        keys = cast("str", self.keys.currentData())
        values = cast("str", self.values.currentData()) or keys
        plain = keys == values == "f16"
        models = [model for model in self.models.chosen if not (plain and base and model.path == base.path)]
        file = cast("Path | None", self.text.currentData())
        return Wanted(tuple(models), base, file, self.chunks.value(), keys, values)

    def show_running(self, words: str, how_far: HowFar | None) -> None:
        """Show how far a measurement is."""
        self._running.setVisible(True)
        self._note.setText(words)
        known = how_far is not None and how_far.total > 0
        self.bar.setRange(0, 1000 if known else 0)
        if how_far is not None and known:
            self.bar.setValue(round(1000 * min(1.0, how_far.done / how_far.total)))

    def show_idle(self) -> None:
        """Show that nothing is being measured."""
        self._running.setVisible(False)

    @property
    def running_words(self) -> str:
        """What it says of the measurement that runs; "" while none does."""
        return "" if self._running.isHidden() else self._note.text()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the choices beside the list where there is room."""
        super().resizeEvent(event)
        wide = event.size().width() >= _BESIDE
        self._parts.setDirection(
            QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom
        )

    def _build(self) -> None:
        self._parts = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._parts.setContentsMargins(0, 0, 0, 0)
        self._parts.setSpacing(18)
        self._parts.addLayout(self._build_models(), 1)
        self._parts.addLayout(self._build_choices(), 1)

    def _build_models(self) -> QVBoxLayout:
        self.search.setPlaceholderText(self.tr("Search the models"))
        self.search.setAccessibleName(self.tr("Search the models"))
        self.search.setClearButtonEnabled(True)
        self.list.setModel(self.models)
        self.list.setUniformItemSizes(True)
        self.list.setAccessibleName(self.tr("Models to measure"))
        self.list.setObjectName("checks")
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setMinimumHeight(self.list.fontMetrics().lineSpacing() * 2 * (_LIST_ROWS - 1))
        self._nothing = make_label(
            self.tr("No model on this disk can be measured yet. Discover has many, and Convert makes them."),
            "muted",
            wrap=True,
        )
        self._nothing.hide()
        column = QVBoxLayout()
        column.setSpacing(6)
        column.addWidget(make_label(self.tr("What to measure"), "heading"))
        column.addWidget(self.search)
        column.addWidget(self._nothing)
        column.addWidget(self.list, 1)
        return column

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
        column.addLayout(grid)
        column.addWidget(self.plan)
        column.addWidget(self.measure, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._build_running())
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

    def _build_running(self) -> QWidget:
        self._running = QWidget()
        self._note = make_label(role="strong", wrap=True)
        self._note.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._note.setMinimumHeight(2 * self._note.fontMetrics().lineSpacing() + 2)  # it changes all the time
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("How far the measurement is"))
        column = QVBoxLayout(self._running)
        column.setContentsMargins(0, 4, 0, 0)
        column.addWidget(self._note)
        column.addWidget(self.bar)
        self._running.hide()
        return self._running

    def _connect(self) -> None:
        self.search.textChanged.connect(self.models.search)
        self.models.ticked.connect(self._show_references)
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
        chosen = self.models.chosen
        if not chosen:
            return []
        every = self.models.every
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
            if self.models.chosen:
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
