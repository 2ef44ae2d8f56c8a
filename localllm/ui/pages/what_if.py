"""Another computer: its graphics processors, how many, and its memory; answers follow every change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QCompleter, QFrame, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from localllm.core.recommend import WhatIf, gpu_names
from localllm.core.recommend.what_if import MOST_GPUS, MOST_MEMORY, NO_GPU
from localllm.texts import Bytes, Text, text
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.basics import IconLabel, make_button, make_label
from localllm.ui.widgets.patient import PatientComboBox, PatientSpinBox

if TYPE_CHECKING:
    from localllm.core.hardware.gpu_table import GpuRow, GpuTable
    from localllm.ui.theme import Theme

GIB = 2**30
_AS_HERE = ""
_STEP = 8  # GiB
_NAME_CHARACTERS = 24


class WhatIfPanel(QFrame):
    """The parts of another computer.

    Signals:
        changed: Another part.
        closed: Back to this computer.
    """

    changed = Signal()
    closed = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("card", "accent")
        self._table: GpuTable | None = None
        self._rows: dict[str, GpuRow] = {}
        self._gpu = self._make_gpus()
        self._count = PatientSpinBox()
        self._count.setRange(1, MOST_GPUS)
        self._count.setPrefix("× ")
        self._count.setAccessibleName(self.tr("How many graphics processors"))
        self._memory = PatientSpinBox()
        self._memory.setRange(0, MOST_MEMORY // GIB)
        self._memory.setSingleStep(_STEP)
        self._memory.setSuffix(" GiB")
        self._memory.setSpecialValueText(self.tr("as here"))
        self._memory.setAccessibleName(self.tr("Main memory"))
        self._back = make_button(self.tr("Back to this computer"))
        self._back.clicked.connect(self.closed)
        self._words = make_label(role="strong", wrap=True)
        self._build(theme)
        self._gpu.currentIndexChanged.connect(self._on_changed)
        self._count.valueChanged.connect(self._on_changed)
        self._memory.valueChanged.connect(self._on_changed)
        self.hide()

    @property
    def what_if(self) -> WhatIf | None:
        """What is to be different; None while it is about this computer."""
        if self.isHidden():
            return None
        gpu = self._gpu.currentData() or None
        count = self._count.value() if self._counts() else 1
        return WhatIf(gpu, count, self._memory.value() * GIB or None)

    def start(self, what: WhatIf | None = None) -> None:
        """Show the panel, with these parts."""
        self._fill_gpus()
        what = what or WhatIf()
        for control in (self._gpu, self._count, self._memory):
            control.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self._gpu.setCurrentIndex(self._place_of(what.gpu))
        self._count.setValue(what.gpus)
        self._memory.setValue(-(-(what.memory or 0) // GIB))
        for control in (self._gpu, self._count, self._memory):
            control.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        self.show()
        self._gpu.setFocus()
        self._on_changed()

    def _build(self, theme: Theme) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 14, 14)
        column.setSpacing(10)
        head = QHBoxLayout()
        head.setSpacing(10)
        head.addWidget(IconLabel(theme, "computer", "accent", 22))
        head.addWidget(make_label(self.tr("Another computer"), "heading"))
        head.addStretch(1)
        head.addWidget(self._back)
        column.addLayout(head)
        column.addWidget(self._words)
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(0, 1)
        captions = (self.tr("Graphics processor"), self.tr("How many"), self.tr("Main memory"))
        controls: tuple[QWidget, ...] = (self._gpu, self._count, self._memory)
        for place, (caption, control) in enumerate(zip(captions, controls, strict=True)):
            label = make_label(caption, "small")
            label.setBuddy(control)
            keep_height(control)
            grid.addWidget(label, 0, place)
            grid.addWidget(control, 1, place)
        self._count.setMinimumWidth(90)
        self._memory.setMinimumWidth(130)
        column.addLayout(grid)

    def _make_gpus(self) -> QComboBox:
        combo = PatientComboBox()
        combo.setEditable(True)
        combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        combo.setMaxVisibleItems(16)
        combo.setMinimumContentsLength(_NAME_CHARACTERS)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        name = self.tr("Graphics processor: type a part of its name")
        combo.setAccessibleName(name)
        edit = combo.lineEdit()
        if edit is not None:
            edit.setAccessibleName(name)
            edit.editingFinished.connect(self._on_typed)
        return combo

    def _fill_gpus(self) -> None:
        """Read the table, once, when it is first needed."""
        if self._gpu.count():
            return
        from localllm.core.hardware.gpu_table import GpuTable

        self._table = GpuTable.load()
        self._rows = dict(gpu_names(self._table))
        self._gpu.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self._gpu.addItem(self.tr("As in this computer"), _AS_HERE)
        self._gpu.addItem(self.tr("None"), NO_GPU)
        for name in self._rows:
            self._gpu.addItem(name, name)
        self._gpu.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        completer = QCompleter(self._gpu.model(), self._gpu)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        popup = completer.popup()
        if popup is not None:
            popup.setObjectName("completions")
        self._gpu.setCompleter(completer)

    def _place_of(self, gpu: str | None) -> int:
        """Return the place of a card in the list, which has longer names than people use."""
        if gpu is None or self._table is None:
            return 0
        exact = self._gpu.findData(gpu)
        if exact >= 0:
            return exact
        cards = self._table.find(gpu)
        places = range(self._gpu.count())
        return next((n for n in places if self._rows.get(str(self._gpu.itemData(n))) in cards), 0)

    def _counts(self) -> bool:
        row = self._rows.get(str(self._gpu.currentData()))
        return row is not None and row.kind == "discrete"

    def _on_typed(self) -> None:
        """Take what was typed if it names one card, else show the chosen one again."""
        typed = self._gpu.currentText().strip().lower()
        names = [n for n in range(self._gpu.count()) if typed in self._gpu.itemText(n).lower()]
        exact = [n for n in names if self._gpu.itemText(n).lower() == typed]
        found = exact or names
        if typed and len(found) == 1:
            self._gpu.setCurrentIndex(found[0])
        self._gpu.setEditText(self._gpu.itemText(self._gpu.currentIndex()))

    def _on_changed(self) -> None:
        self._count.setEnabled(self._counts())
        self._words.setText(say(self._sentence()))
        self.changed.emit()

    def _sentence(self) -> Text:
        what = self.what_if or WhatIf()
        gpus: Text | str = text("Graphics as here")
        if what.gpu == NO_GPU:
            gpus = text("No graphics processor")
        elif what.gpu is not None:
            gpus = text("{count} × {gpu}", count=what.gpus, gpu=what.gpu) if what.gpus > 1 else what.gpu
        memory = (
            text("memory as here")
            if what.memory is None
            else text("{size} of main memory", size=Bytes(what.memory))
        )
        return text("{gpus}, {memory}, the processor as here", gpus=gpus, memory=memory)
