"""The Lab's Convert panel: a checkpoint from a folder or the Hub, looked over first, then made into GGUF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from localllm.core.convert.place import remove_forgotten
from localllm.core.convert.writing import KEPT_FREE
from localllm.core.quantize.types import TYPES
from localllm.texts import Bytes, Text, text
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.lab_convert_jobs import (
    AdapterFound,
    Checkpoint,
    adapter_task,
    convert_task,
    look_over,
)
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.action_rows import ActionRow
from localllm.ui.widgets.basics import make_button, make_label
from localllm.ui.widgets.patient import PatientComboBox
from localllm.ui.widgets.plan_card import PlanCard, form_beside_plan
from localllm.ui.widgets.term_link import make_term_link

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.convert.plan import OutputType
    from localllm.core.lora.conversion import AdapterType
    from localllm.core.quantize.types import QuantType
    from localllm.ui.services import Services

_QUANTIZED = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M")


class ConvertPanel(QWidget):
    """Looks over what is named, and starts the work."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._looking: Job | None = None
        self._asked: tuple[str, str, Path | None] = ("", "", None)
        self.form = ConvertForm()
        self.plan = ConvertPlanCard()
        form_beside_plan(self, self.tr("What is to be converted"), self.form, self.plan)
        self.form.look_asked.connect(self.look)
        self.form.words.textEdited.connect(self._on_edited)
        self.form.types.currentIndexChanged.connect(self._on_wish_changed)
        self.form.out_changed.connect(self._on_wish_changed)
        self.plan.start_asked.connect(self.start)
        models = services.paths.models
        services.jobs.run(lambda _progress: remove_forgotten(models))

    def setFocus(self) -> None:
        """Let the person name a checkpoint."""
        self.form.words.setFocus()

    def open_source(self, words: str) -> None:
        """Look over a folder or a repository."""
        self.form.words.setText(words)
        self.look()

    def look(self) -> None:
        """Look over what is named."""
        words, wanted, out = self.form.source, self.form.output_type, self.form.out
        services = self._services
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if not words:
            self.plan.show_nothing()
            return
        self._asked = (words, wanted, out)
        self.plan.show_looking()
        reactions = Reactions(succeeded=self._on_found, failed=self._on_refused)
        self._looking = services.jobs.run(
            lambda progress: look_over(services, words, wanted, out, progress), reactions
        )

    def start(self) -> None:
        """Put what was looked over on the list of work."""
        found = self.plan.found
        self.plan.start.setEnabled(False)  # until something else is named
        if isinstance(found, Checkpoint):
            self._services.lab.start(convert_task(self._services, found, self.form.kinds))
        elif found is not None:
            wanted = self.form.output_type
            kind: AdapterType = wanted if wanted in ("f16", "bf16", "q8_0") else "f32"
            base = self.plan.base.text().strip()
            self._services.lab.start(adapter_task(self._services, found, base, kind, self.form.out))

    def _on_found(self, found: Checkpoint | AdapterFound) -> None:
        if self.sender() is self._looking:
            self._looking = None
            self.form.show_adapter(adapter=isinstance(found, AdapterFound))
            self.plan.show_found(found)

    def _on_refused(self, error: Exception) -> None:
        if self.sender() is self._looking:
            self._looking = None
            self.plan.show_problem(error)

    def _on_edited(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self.plan.show_nothing()

    def _on_wish_changed(self) -> None:
        form = self.form
        if self._asked == (form.source, form.output_type, form.out) or not self._asked[0]:
            return
        if not isinstance(self.plan.found, AdapterFound):
            self.look()


class ConvertForm(QWidget):
    """What a person chooses.

    Signals:
        look_asked: What is named is to be looked over.
        out_changed: The result is to go into another folder.
    """

    look_asked = Signal()
    out_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.out: Path | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(8)
        link = make_term_link(self.tr("Checkpoint"), "checkpoint", caption=True)
        column.addWidget(link, 0, Qt.AlignmentFlag.AlignLeft)
        column.addLayout(self._build_source())
        column.addSpacing(4)
        column.addWidget(make_label(self.tr("Weights become"), "caption"))
        column.addWidget(self._build_types())
        self._explained = make_label(
            self.tr(
                "“As they are” is right nearly always: nothing is lost, and everything smaller can be made "
                "from it."
            ),
            "small",
            wrap=True,
        )
        column.addWidget(self._explained)
        column.addSpacing(4)
        self._then = QWidget()
        inside = QVBoxLayout(self._then)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(8)
        inside.addWidget(make_label(self.tr("Then quantize it to"), "caption"))
        inside.addLayout(self._build_kinds())
        inside.addWidget(
            make_label(
                self.tr("For other types and importance matrices use Quantize, when it is converted."),
                "small",
                wrap=True,
            )
        )
        column.addWidget(self._then)
        column.addSpacing(4)
        column.addWidget(make_label(self.tr("The file goes into"), "caption"))
        column.addLayout(self._build_out())
        column.addStretch(1)

    @property
    def source(self) -> str:
        """What is named: a folder or a repository."""
        return self.words.text().strip()

    @property
    def output_type(self) -> OutputType:
        """What most weights become."""
        return cast("OutputType", self.types.currentData())

    @property
    def kinds(self) -> list[QuantType]:
        """What the result is to be quantized to."""
        return [TYPES[name] for name, box in self._kinds.items() if box.isChecked()]

    def choose_kind(self, name: str) -> None:
        """Have the result quantized to a type."""
        self._kinds[name].setChecked(True)

    def show_adapter(self, *, adapter: bool) -> None:
        """Offer only what there is for an adapter, or all."""
        self._then.setVisible(not adapter)

    def choose_out(self, folder: Path | None) -> None:
        """Let the result go into a folder, or into that of the models."""
        self.out = folder
        self._out_words.setText(str(folder) if folder is not None else self.tr("The folder of models"))
        self.usual.setVisible(folder is not None)
        self.out_changed.emit()

    def _build_source(self) -> QVBoxLayout:
        self.words = QLineEdit()
        self.words.setPlaceholderText(self.tr("A folder, “owner/name” on the Hub, or an address"))
        self.words.setToolTip(self.words.placeholderText())
        self.words.setAccessibleName(self.tr("A folder, “owner/name” on the Hub, or an address"))
        self.words.setClearButtonEnabled(True)
        self.words.setMaxLength(2000)
        keep_height(self.words)
        self.words.returnPressed.connect(self.look_asked)
        self.choose = make_button(self.tr("Choose folder…"))
        self.choose.clicked.connect(
            lambda: self._ask_folder(self.tr("Choose a checkpoint's folder"), self._on_folder_chosen)
        )
        self.look = make_button(self.tr("Look it over"))
        self.look.clicked.connect(self.look_asked)
        row = QHBoxLayout()
        row.addWidget(self.choose)
        row.addWidget(self.look)
        row.addStretch(1)
        column = QVBoxLayout()
        column.setSpacing(6)
        column.addWidget(self.words)
        column.addLayout(row)
        column.addWidget(
            make_label(
                self.tr(
                    "A model in Hugging Face format: safetensors, config.json and a tokenizer; or a LoRA "
                    "adapter of PEFT. A folder can be dropped here, too."
                ),
                "small",
                wrap=True,
            )
        )
        return column

    def _build_types(self) -> PatientComboBox:
        self.types = PatientComboBox()
        self.types.setAccessibleName(self.tr("Weights become"))
        for words, kind in (
            (self.tr("As they are (BF16 or F16)"), "auto"),
            ("BF16", "bf16"),
            ("F16", "f16"),
            (self.tr("F32: twice as large, for further work"), "f32"),
            (self.tr("Q8_0: half as large, nearly as good"), "q8_0"),
            (self.tr("TQ1_0: BitNet models only"), "tq1_0"),
            (self.tr("TQ2_0: BitNet models only, faster"), "tq2_0"),
        ):
            self.types.addItem(words, kind)
        keep_height(self.types)
        return self.types

    def _build_kinds(self) -> QGridLayout:
        self._kinds: dict[str, QCheckBox] = {}
        grid = QGridLayout()
        for place, name in enumerate(_QUANTIZED):
            box = self._kinds[name] = QCheckBox(name)
            box.setAccessibleName(say(text("Then quantize it to {type}", type=name)))
            box.setToolTip(say(TYPES[name].description))
            grid.addWidget(box, place // 3, place % 3)
        grid.setColumnStretch(3, 1)
        return grid

    def _build_out(self) -> QVBoxLayout:
        self._out_words = make_label(wrap=True)
        self.other = make_button(self.tr("Other folder…"))
        self.other.clicked.connect(
            lambda: self._ask_folder(
                self.tr("Choose the folder for the file"), lambda path: self.choose_out(Path(path))
            )
        )
        self.usual = make_button(self.tr("The folder of models"))
        self.usual.clicked.connect(lambda: self.choose_out(None))
        row = QHBoxLayout()
        row.addWidget(self.other)
        row.addWidget(self.usual)
        row.addStretch(1)
        column = QVBoxLayout()
        column.setSpacing(6)
        column.addWidget(self._out_words)
        column.addLayout(row)
        self.choose_out(None)
        return column

    def _ask_folder(self, title: str, on_chosen: Callable[[str], None]) -> None:
        dialog = QFileDialog(self, title)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(on_chosen)
        dialog.open()

    def _on_folder_chosen(self, path: str) -> None:
        self.words.setText(str(Path(path)))
        self.look_asked.emit()


class ConvertPlanCard(PlanCard):
    """What a conversion will give; of an adapter it asks for the model that it was made for."""

    def __init__(self) -> None:
        self.found: Checkpoint | AdapterFound | None = None
        self.base = QLineEdit()
        self._base_words = make_label(role="small", wrap=True)
        super().__init__(say(text("What it will give")), say(text("Convert")), self._base_words, self.base)
        self._base_words.setText(self.tr("The model that it was made for; only its config.json is needed."))
        self.base.setPlaceholderText(self.tr("The model's folder, or “owner/name”"))
        self.base.setAccessibleName(self.tr("The model that the adapter was made for"))
        keep_height(self.base)
        self.show_nothing()

    def clear(self) -> None:
        """Show nothing."""
        self.found = None
        super().clear()

    def show_nothing(self) -> None:
        """Say how it goes."""
        self.show_sentence(
            self.tr(
                "Name a checkpoint. You will see what it becomes and the room it takes, before anything is "
                "written or downloaded. No program of a repository is ever run."
            )
        )

    def show_looking(self) -> None:
        """Say that it is being looked over."""
        self.show_waiting(self.tr("Looking it over…"))

    def show_found(self, found: Checkpoint | AdapterFound) -> None:
        """Show what was found."""
        if isinstance(found, Checkpoint):
            self._show_checkpoint(found)
        else:
            title = say(text("{name}: a LoRA adapter", name=found.name))
            words = self.tr("It becomes a GGUF adapter, which changes how its model answers in a chat.")
            self.show_plan(title, "", words, "", (), "")
            self.base.setText(found.base)
            self.base.show()
            self._base_words.show()
        self.found = found

    def _show_checkpoint(self, found: Checkpoint) -> None:
        made = found.preview
        need = made.size + found.room
        size = text(
            "{size} as {type}, {count} tensors",
            size=Bytes(made.size),
            type=made.output_type,
            count=made.tensors,
        )
        lines = [
            text("Architecture: {name} ({class_name})", name=made.architecture, class_name=made.model_class)
        ]
        if found.download:
            lines.append(
                text(
                    "{size} will be downloaded; at most {room} of it lie on the disk at once.",
                    size=Bytes(found.download),
                    room=Bytes(found.room),
                )
            )
        rows = [ActionRow(say(sentence)) for sentence in _remarks(found)]
        full, there = found.free < need + KEPT_FREE, found.target.exists()
        if full:
            rows.append(ActionRow(self.tr("There is not enough room on the disk for it.")))
        if there:
            rows.append(ActionRow(self.tr("A file of this name is there already: it was converted before.")))
        room = say(text("Disk: {need} needed, {free} free", need=Bytes(need), free=Bytes(found.free)))
        words = "\n".join(say(line) for line in lines)
        self.show_plan(found.target.name, say(size), "", words, rows, room)
        self.start.setEnabled(not full and not there)


def _remarks(found: Checkpoint) -> list[Text]:
    made = found.preview
    said: list[Text] = []
    if made.quantization:
        said.append(
            text("The weights are quantized ({method}); they will be restored.", method=made.quantization)
        )
    if made.code:
        names = ", ".join(made.code[:3])
        said.append(text("The repository's own program ({file}) is not needed and not run.", file=names))
    return [*said, *made.fallbacks_said()]
