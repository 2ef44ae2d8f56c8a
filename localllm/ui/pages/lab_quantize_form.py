"""What a person chooses for a quantization: model, type or size, importance matrix, and what few need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from PySide6.QtCore import QModelIndex, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPlainTextEdit,
    QRadioButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from localllm.core.quantize.order import Order
from localllm.core.quantize.plan import Wish
from localllm.core.quantize.pruning import WARNING, parse_layers
from localllm.core.quantize.types import TYPES, parse_tensor_type
from localllm.texts import GIB
from localllm.ui.itemmodels.library import MODEL_ROLE, LibraryItemModel, describe_model
from localllm.ui.itemmodels.quant_types import BITS, GOOD_FOR, NAME, SIZE, QuantTypesTable
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.disclosure import Disclosure
from localllm.ui.widgets.patient import PatientComboBox, PatientDoubleSpinBox, PatientSpinBox
from localllm.ui.widgets.term_link import make_term_link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.imatrix import TextChoice
    from localllm.core.library import LibraryModel
    from localllm.core.quantize.types import QuantType

Aim = Literal["type", "size", "context"]
_USUAL = "Q4_K_M"
_USUAL_CONTEXT = 8192  # tokens
_REST_MS = 250  # of the keyboard before a plan is made
_ROWS = 9  # of the table that are seen at once


class QuantizeForm(QWidget):
    """Says what is wanted as an `Order`.

    Signals:
        changed: Something else is wanted now.
        model_chosen: arg: `LibraryModel` or None.
    """

    changed = Signal()
    model_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[str, Path] = {}
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_REST_MS)
        self._soon.timeout.connect(self.changed)
        self.models = LibraryItemModel(self)
        self.types = QuantTypesTable(self)
        self._build()
        self._connect()

    @property
    def model(self) -> LibraryModel | None:
        """The model that is to be quantized."""
        return cast("LibraryModel | None", self.model_box.currentData(MODEL_ROLE))

    @property
    def kind(self) -> QuantType:
        """The type that is chosen in the table."""
        row = self.table.currentIndex().row()
        return self.types.records[row].kind if row >= 0 else TYPES[_USUAL]

    @property
    def aim(self) -> Aim:
        """Whether a type is chosen, or a size, or what fits this computer."""
        return ("type", "size", "context")[self._aims.checkedId()]

    @property
    def context(self) -> int:
        """Tokens of the context with which it is to run on this computer."""
        return self.tokens.value()

    def order(self, model: LibraryModel) -> Order:
        """Return what is wanted of a model; that of "context" has no budget yet.

        Raises:
            UsageError: What was typed is not understood.
        """
        lines = filter(None, map(str.strip, self.tensors.toPlainText().splitlines()))
        layers = self.layers.text().strip()
        named = parse_layers(layers) if layers else ()
        wish = Wish(
            self.kind,
            tensor_types=tuple(parse_tensor_type(line) for line in lines),
            prune_layers=() if isinstance(named, int) else named,
            allow_requantize=self.again.isChecked(),
            leave_output=self.leave_output.isChecked(),
            pure=self.pure.isChecked(),
        )
        count = named if isinstance(named, int) else 0 if named else self.leave_out.value()
        choice = cast("str", self.imatrix.currentData())
        return Order(
            model.path,
            wish,
            imatrix_text=None if choice in ("none", "file") else self._text(choice),
            imatrix_file=self._texts.get("file") if choice == "file" else None,
            leave_out=count,
            budget=round(self.budget.value() * GIB) if self.aim == "size" else None,
        )

    def show_models(self, models: Sequence[LibraryModel], wanted: Path | None) -> None:
        """Offer these models, the wanted one or else the same as before chosen."""
        before = self.model
        wanted = wanted or (before.path if before else None)
        self.model_box.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self.models.show_models(models)
        row = self.models.row_of(str(wanted)) if wanted else -1
        self.model_box.setCurrentIndex(row if row >= 0 else (0 if models else -1))
        self.model_box.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        if self.model != before or not models:
            self._on_model_changed()

    def choose_imatrix(self) -> None:
        """Let an importance matrix be made from our own texts."""
        self.imatrix.setCurrentIndex(self.imatrix.findData("both"))

    def allow_again(self) -> None:
        """Also quantize what is quantized already."""
        self.again.setChecked(True)

    def choose_type(self, name: str) -> None:
        """Choose a type in the table."""
        self._aims.button(0).setChecked(True)
        self.table.selectRow(self.types.row_of(name))
        self.table.scrollTo(self.table.currentIndex(), QAbstractItemView.ScrollHint.PositionAtCenter)

    def _text(self, choice: str) -> TextChoice:
        return self._texts["text"] if choice == "text" else cast("TextChoice", choice)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(8)
        column.addWidget(make_label(self.tr("Model"), "caption"))
        column.addWidget(self._build_model())
        column.addSpacing(4)
        column.addWidget(
            make_term_link(self.tr("What it becomes"), "quantization", caption=True),
            0,
            Qt.AlignmentFlag.AlignLeft,
        )
        column.addWidget(self._build_aims())
        column.addSpacing(4)
        column.addWidget(
            make_term_link(self.tr("Importance matrix"), "imatrix", caption=True),
            0,
            Qt.AlignmentFlag.AlignLeft,
        )
        column.addWidget(self._build_imatrix())
        column.addWidget(Disclosure(self.tr("Single tensors"), self._build_tensors()))
        column.addWidget(Disclosure(self.tr("Leave layers out"), self._build_pruning()))
        column.addStretch(1)
        for control in (self.model_box, self.imatrix, self.budget, self.tokens, self.leave_out, self.layers):
            keep_height(control)

    def _build_model(self) -> QWidget:
        self.model_box = PatientComboBox()
        self.model_box.setModel(self.models)
        self.model_box.setAccessibleName(self.tr("Model to quantize"))
        self.model_box.setSizeAdjustPolicy(
            PatientComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.model_box.setMinimumContentsLength(16)
        self.about = make_label(role="small", wrap=True)
        self.again = QCheckBox(self.tr("Quantize it although it is quantized already"))
        self.again.setAccessibleName(self.again.text())
        self.again.setToolTip(self.tr("Each time loses more than once from 16 bits would."))
        self.again.hide()
        return _column(self.model_box, self.about, self.again)

    def _build_aims(self) -> QWidget:
        self._aims = QButtonGroup(self)
        words = (
            self.tr("A type that I choose"),
            self.tr("The best that fits into a size"),
            self.tr("The best that this computer runs well"),
        )
        buttons = [QRadioButton(one) for one in words]
        for number, button in enumerate(buttons):
            button.setAccessibleName(button.text())
            self._aims.addButton(button, number)
        buttons[0].setChecked(True)
        self.budget = PatientDoubleSpinBox()
        self.budget.setRange(0.01, 4096)
        self.budget.setDecimals(2)
        self.budget.setSingleStep(0.25)
        self.budget.setValue(4.0)
        self.budget.setSuffix(self.tr(" GiB"))
        self.budget.setKeyboardTracking(False)
        self.budget.setAccessibleName(self.tr("Size that the file may have"))
        self.tokens = PatientSpinBox()
        self.tokens.setRange(256, 1_048_576)
        self.tokens.setSingleStep(1024)
        self.tokens.setValue(_USUAL_CONTEXT)
        self.tokens.setSuffix(self.tr(" tokens of context"))
        self.tokens.setKeyboardTracking(False)
        self.tokens.setAccessibleName(self.tr("Context with which it is to run on this computer"))
        self._fitting = make_label(
            self.tr(
                "The type with the least loss that fits is taken, and what is left over goes into better "
                "types for the tensors that matter most."
            ),
            "small",
            wrap=True,
        )
        self._build_table()
        return _column(
            buttons[0], self.table, buttons[1], self.budget, buttons[2], self.tokens, self._fitting
        )

    def _build_table(self) -> None:
        table = self.table = QTableView()
        table.setAccessibleName(self.tr("Types"))
        table.setModel(self.types)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setObjectName("types_table")
        table.verticalHeader().hide()
        row = table.fontMetrics().lineSpacing() + 10
        table.verticalHeader().setDefaultSectionSize(row)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        table.setFixedHeight(row * _ROWS + header.sizeHint().height() + 4)
        metrics = header.fontMetrics()
        for section, sample in ((NAME, "MXFP4_MOE "), (BITS, "16.00"), (SIZE, "≈ 999.99 GiB")):
            header.resizeSection(section, metrics.horizontalAdvance(sample) + 22)
        header.setSectionResizeMode(GOOD_FOR, QHeaderView.ResizeMode.Stretch)
        table.selectRow(self.types.row_of(_USUAL))

    def _build_imatrix(self) -> QWidget:
        self.imatrix = PatientComboBox()
        self.imatrix.setAccessibleName(self.tr("Importance matrix"))
        for words, choice in (
            (self.tr("No importance matrix"), "none"),
            (self.tr("Made here, from LocalLLM's texts in English and Spanish"), "both"),
            (self.tr("Made here, from LocalLLM's English text"), "en"),
            (self.tr("Made here, from LocalLLM's Spanish text"), "es"),
            (self.tr("Made here, from what the model writes by itself"), "self"),
            (self.tr("Made here, from a text of mine…"), "text"),
            (self.tr("From a file…"), "file"),
        ):
            self.imatrix.addItem(words, choice)
        self.imatrix.setSizeAdjustPolicy(
            PatientComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.imatrix.setMinimumContentsLength(16)
        self._file = make_label(role="small", wrap=True)
        self._file.hide()
        explained = make_label(
            self.tr(
                "It says which weights matter most, measured on a text; small types lose much less with one. "
                "Making it reads the text once with the whole model, and it is kept for the next time."
            ),
            "small",
            wrap=True,
        )
        return _column(self.imatrix, self._file, explained)

    def _build_tensors(self) -> QWidget:
        self.tensors = QPlainTextEdit()
        self.tensors.setPlaceholderText("attn_v=q8_0\nffn_down=q6_k")
        self.tensors.setAccessibleName(self.tr("Types of single tensors"))
        self.tensors.setTabChangesFocus(True)
        keep_height(self.tensors, 3, 18, fixed=True)
        explained = make_label(
            self.tr(
                "One line for each rule: a pattern and a type. Tensors in whose names the pattern occurs get "
                "the type; the first rule that fits counts."
            ),
            "small",
            wrap=True,
        )
        self.leave_output = QCheckBox(self.tr("Keep the output matrix as it is"))
        self.pure = QCheckBox(self.tr("One type for all tensors, no mixture"))
        for box in (self.leave_output, self.pure):
            box.setAccessibleName(box.text())
        return _column(explained, self.tensors, self.leave_output, self.pure)

    def _build_pruning(self) -> QWidget:
        self.leave_out = PatientSpinBox()
        self.leave_out.setRange(0, 999)
        self.leave_out.setSpecialValueText(self.tr("No layer"))
        self.leave_out.setKeyboardTracking(False)
        self.leave_out.setAccessibleName(self.tr("Number of layers to leave out"))
        self.layers = QLineEdit()
        self.layers.setPlaceholderText(self.tr("or these, as in 20,21,22"))
        self.layers.setAccessibleName(self.tr("Layers to leave out, by their numbers"))
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.leave_out)
        line.addWidget(self.layers, 1)
        explained = make_label(
            self.tr("Those that change least what passes through them are chosen, measured on a text."),
            "small",
            wrap=True,
        )
        return _column(make_label(say(WARNING), wrap=True), row, explained)

    def _connect(self) -> None:
        self.model_box.currentIndexChanged.connect(self._on_model_changed)
        self.table.selectionModel().currentRowChanged.connect(self._on_type_changed)
        self._aims.idToggled.connect(self._on_aim_changed)
        self.budget.valueChanged.connect(self._soon.start)
        self.tokens.valueChanged.connect(self._soon.start)
        self.leave_out.valueChanged.connect(self._soon.start)
        self.tensors.textChanged.connect(self._soon.start)
        self.layers.textChanged.connect(self._soon.start)
        for box in (self.again, self.leave_output, self.pure):
            box.toggled.connect(self._soon.start)
        self.imatrix.activated.connect(self._on_imatrix_activated)
        self.imatrix.currentIndexChanged.connect(self._on_imatrix_changed)
        self._on_aim_changed()

    def _on_model_changed(self) -> None:
        model = self.model
        self.about.setText(_about(self, model))
        self.again.setChecked(False)
        if model is not None:
            self.types.estimate(model.parameters or 0, model.size)
            self.table.selectRow(self.types.row_of(_USUAL))
            self.budget.setValue(round(max(0.01, 0.5 * model.size / GIB), 2))
            self.leave_out.setMaximum(max(0, (model.layers or 2) // 2))
            self.tokens.setMaximum(max(256, model.trained_context or 1_048_576))
            self.tokens.setValue(_USUAL_CONTEXT)
        self.model_chosen.emit(model)
        self._soon.start()

    def _on_type_changed(self, now: QModelIndex, _before: QModelIndex) -> None:
        if now.isValid():
            self._soon.start()

    def _on_aim_changed(self) -> None:
        aim = self.aim
        self.table.setVisible(aim == "type")
        self.budget.setVisible(aim == "size")
        self.tokens.setVisible(aim == "context")
        self._fitting.setVisible(aim != "type")
        self._soon.start()

    def _on_imatrix_activated(self) -> None:
        choice = cast("str", self.imatrix.currentData())
        if choice in ("text", "file"):
            title = self.tr("Choose a text") if choice == "text" else self.tr("Choose an importance matrix")
            dialog = QFileDialog(self, title)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
            dialog.fileSelected.connect(self._on_file_chosen)
            dialog.rejected.connect(self._on_no_file)
            dialog.open()

    def _on_file_chosen(self, path: str) -> None:
        self.take_file(cast("str", self.imatrix.currentData()), Path(path))

    def take_file(self, choice: str, path: Path) -> None:
        """Use a text, or an importance matrix, of the person's own."""
        self._texts[choice] = path
        self.imatrix.setCurrentIndex(self.imatrix.findData(choice))
        self._on_imatrix_changed()

    def _on_no_file(self) -> None:
        if self.imatrix.currentData() not in self._texts:
            self.imatrix.setCurrentIndex(0)

    def _on_imatrix_changed(self) -> None:
        choice = self.imatrix.currentData()
        path = self._texts.get(cast("str", choice))
        self._file.setText(str(path) if path is not None else "")
        self._file.setVisible(path is not None)
        if path is not None or choice not in ("text", "file"):
            self._soon.start()


def _about(form: QuantizeForm, model: LibraryModel | None) -> str:
    if model is None:
        return form.tr("There is no model yet: get one in Discover, or convert a checkpoint.")
    return say(describe_model(model))


def _column(*widgets: QWidget) -> QWidget:
    panel = QWidget()
    column = QVBoxLayout(panel)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(6)
    for widget in widgets:
        column.addWidget(widget)
    return panel
