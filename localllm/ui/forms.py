"""Dataclass fields as rows of a form: label, control and help, named for a screen reader."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLineEdit,
    QPlainTextEdit,
    QSpinBox,
    QWidget,
)

from localllm.ui.terms import explain_setting
from localllm.ui.text_room import keep_height, keep_width
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.patient import PatientComboBox, PatientDoubleSpinBox, PatientSpinBox

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from localllm.texts import Text

_BETWEEN = 12  # pixels from one setting to the next
_CONTROL_WIDTH = 190


@dataclass(frozen=True)
class Row:
    """How one field is shown; the kind of control follows from the field's type and these limits."""

    label: Text | str
    help: Text | str = ""
    low: float = 0
    high: float = 0
    step: float = 1
    decimals: int = 2
    choices: tuple[str, ...] = ()
    shown: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])  # words for choices
    least: Text | str = ""  # what the lowest number or no text is called, where it means something of its own
    most: Text | str = ""  # what the highest number is called, likewise
    lines: bool = False  # of one text


def rows_of(kind: type[Any]) -> dict[str, Row]:
    """Return the rows that a dataclass describes in the metadata of its fields."""
    rows: dict[str, Row] = {}
    limits = {entry.name for entry in dataclasses.fields(Row)} - {"label", "help"}
    for entry in dataclasses.fields(kind):
        known = {name: rule for name, rule in entry.metadata.items() if name in limits}
        rows[entry.name] = Row(entry.metadata["label"], entry.metadata.get("help", ""), **known)
    return rows


class Form(QObject):
    """Controls for the fields of a record.

    Signals:
        edited: A control has another value now. args: field name, value.
    """

    edited = Signal(str, object)

    def __init__(self, record: object, rows: Mapping[str, Row], parent: QObject) -> None:
        super().__init__(parent)
        self._values = {name: getattr(record, name) for name in rows}
        self.controls: dict[str, QWidget] = {}
        for name, row in rows.items():
            control = self._make_control(name, row)
            if not isinstance(control, QPlainTextEdit):  # which has a height of its own
                keep_height(control)
            control.setAccessibleName(say(row.label))
            control.setAccessibleDescription(say(row.help))
            control.setToolTip(say(row.help))
            explain_setting(control, name)
            self.controls[name] = control
        self._rows = rows

    def lay_out(
        self,
        *,
        narrow: bool = False,
        notes: Mapping[str, QWidget] | None = None,
        only: Container[str] | None = None,
    ) -> QWidget:
        """Return a panel with one row for each field; narrow puts no help below the controls.

        `notes` stand below the rows that they belong to; `only` names the fields, where not all are wanted.
        """
        panel = QWidget()
        grid = QGridLayout(panel)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(6 if narrow else 4)
        grid.setColumnStretch(0, 1)
        line = 0
        for name in self._rows:
            if only is None or name in only:
                line = self._add_row(grid, line, name, notes.get(name) if notes else None, narrow=narrow)
        return panel

    def _add_row(self, grid: QGridLayout, line: int, name: str, note: QWidget | None, *, narrow: bool) -> int:
        """Put one field into the grid; return the line after it."""
        row, control = self._rows[name], self.controls[name]
        if line and not narrow:
            grid.setRowMinimumHeight(line, _BETWEEN)
            line += 1
        label = make_label(say(row.label), wrap=narrow)
        label.setToolTip(control.toolTip())
        label.setBuddy(control)
        grid.addWidget(label, line, 0)
        if isinstance(control, QPlainTextEdit | QLineEdit):
            line += 1
            grid.addWidget(control, line, 0, 1, 2)
        elif narrow:
            grid.addWidget(control, line, 1)
        else:
            _add_wide(grid, line, control)
        line += 1
        if narrow:
            if note is not None:
                grid.addWidget(note, line, 0, 1, 2, Qt.AlignmentFlag.AlignLeft)
            return line + 1
        grid.addWidget(make_label(say(row.help), "small", wrap=True), line, 0, 1, 1 if note else 2)
        if note is not None:
            grid.addWidget(note, line, 1, Qt.AlignmentFlag.AlignRight)
        return line + 1

    def set_value(self, name: str, value: object) -> None:
        """Show a value without telling anybody; what somebody is typing there stays."""
        control = self.controls[name]
        if _is_typed_in(control):
            return
        control.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        match control:
            case QComboBox():
                control.setCurrentIndex(max(0, control.findData(value)))
            case QCheckBox():
                control.setChecked(bool(value))
            case QSpinBox() | QDoubleSpinBox():
                control.setValue(cast("Any", value))
            case QPlainTextEdit():
                if _read_lines(control, value) != value:  # else the cursor stays where somebody writes
                    control.setPlainText(_in_lines(value))
            case QLineEdit():
                control.setText(str(value))
            case _:
                pass
        control.blockSignals(False)  # noqa: FBT003 - Qt's own signature

    def set_record(self, record: object) -> None:
        """Show another record."""
        for name in self.controls:
            self.set_value(name, getattr(record, name))

    def _make_control(self, name: str, row: Row) -> QWidget:
        value = self._values[name]
        if row.choices:
            return self._make_choice(name, row, value)
        if isinstance(value, bool):
            return self._make_switch(name, value=value)
        if isinstance(value, float):
            return self._make_fraction(name, row, value)
        if isinstance(value, int):
            return self._make_number(name, row, value)
        if isinstance(value, tuple) or row.lines:
            return self._make_lines(name, cast("object", value))
        edit = QLineEdit(str(value))
        edit.setPlaceholderText(say(row.least))
        edit.editingFinished.connect(lambda: self._on_typed(name, edit, edit.text()))
        return edit

    def _make_choice(self, name: str, row: Row, value: object) -> QWidget:
        combo = PatientComboBox()
        for choice in row.choices:
            combo.addItem(row.shown.get(choice, choice), choice)
        combo.setCurrentIndex(max(0, combo.findData(value)))
        combo.currentIndexChanged.connect(lambda: self.edited.emit(name, combo.currentData()))
        return combo

    def _make_switch(self, name: str, *, value: bool) -> QWidget:
        box = QCheckBox()
        box.setChecked(value)
        box.toggled.connect(lambda: self.edited.emit(name, box.isChecked()))
        return box

    def _make_number(self, name: str, row: Row, value: int) -> QWidget:
        spin = PatientSpinBox(say(row.most))
        spin.setRange(int(row.low), int(row.high))
        spin.setSingleStep(int(row.step))
        spin.setValue(value)
        return self._finish_number(name, row, spin)

    def _make_fraction(self, name: str, row: Row, value: float) -> QWidget:
        spin = PatientDoubleSpinBox()
        spin.setDecimals(row.decimals)
        spin.setRange(row.low, row.high)
        spin.setSingleStep(row.step)
        spin.setValue(value)
        return self._finish_number(name, row, spin)

    def _finish_number(self, name: str, row: Row, spin: QSpinBox | QDoubleSpinBox) -> QWidget:
        spin.setSpecialValueText(say(row.least))
        spin.setKeyboardTracking(False)
        spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        spin.valueChanged.connect(lambda: self._on_typed(name, spin.lineEdit(), spin.value()))
        return spin

    def _on_typed(self, name: str, edit: QLineEdit, value: object) -> None:
        edit.setModified(False)
        self.edited.emit(name, value)

    def _make_lines(self, name: str, value: object) -> QWidget:
        edit = QPlainTextEdit(_in_lines(value))
        keep_height(edit, 3, 18, fixed=True)
        edit.setTabChangesFocus(True)
        edit.textChanged.connect(lambda: self.edited.emit(name, _read_lines(edit, value)))
        return edit


def _is_typed_in(control: QWidget) -> bool:
    """Whether something is typed there that nobody has been told yet."""
    edit = control.lineEdit() if isinstance(control, QAbstractSpinBox) else control
    return isinstance(edit, QLineEdit) and control.hasFocus() and edit.isModified()


def _add_wide(grid: QGridLayout, line: int, control: QWidget) -> None:
    """Put a control at the right, as wide as all others; a box to tick stands at the edge."""
    if isinstance(control, QCheckBox):
        grid.addWidget(control, line, 1, Qt.AlignmentFlag.AlignRight)
    else:
        keep_width(control, least=_CONTROL_WIDTH)
        grid.addWidget(control, line, 1)


def _in_lines(value: object) -> str:
    return "\n".join(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else str(value)


def _read_lines(edit: QPlainTextEdit, like: object) -> tuple[str, ...] | str:
    words = edit.toPlainText()
    if not isinstance(like, tuple):
        return words.strip()
    return tuple(line.strip() for line in words.splitlines() if line.strip())
