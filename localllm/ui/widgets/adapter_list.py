"""The LoRA adapters of a chat: each with its strength, and a way to add one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QVBoxLayout, QWidget

from localllm.engine.protocol import Adapter
from localllm.texts import text
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.basics import ElidedLabel, IconButton, make_button, make_label
from localllm.ui.widgets.patient import PatientDoubleSpinBox, PatientSlider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.library.adapters import LibraryAdapter
    from localllm.ui.theme import Theme

_STEPS = 20  # of the slider for each whole strength
_USUAL_MOST, _MOST = 2.0, 10.0  # what the slider reaches, what can be typed
_SAVE_MS = 300


class AdapterList(QWidget):
    """Rows of name, slider and number, and the button that adds one.

    Signals:
        edited: Others, or another strength. arg: a tuple of `Adapter`.
        choice_wanted: One is to be added: `offer` what there is.
        file_wanted: One is to be added from a file.
    """

    edited = Signal(object)
    choice_wanted = Signal()
    file_wanted = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.rows: list[AdapterRow] = []
        self._saving = QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(_SAVE_MS)
        self._saving.timeout.connect(lambda: self.edited.emit(self.adapters))
        self._nothing = make_label(
            self.tr("A LoRA adapter changes how a model answers, without another model."), "small", wrap=True
        )
        self.add = make_button(self.tr("Add an adapter…"))
        self.add.clicked.connect(self.choice_wanted)
        self._column = QVBoxLayout()
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self._nothing)
        column.addLayout(self._column)
        column.addWidget(self.add)

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """What is shown."""
        return tuple(row.adapter for row in self.rows)

    def set_adapters(self, adapters: Sequence[Adapter]) -> None:
        """Show others without telling anybody."""
        self._saving.stop()
        while self.rows:
            self._take_away(self.rows[-1])
        for adapter in adapters:
            self._append(adapter)
        self._nothing.setVisible(not self.rows)

    def take(self, path: Path) -> None:
        """Add one as strong as it was trained; one that is there already stays as it is."""
        if all(row.adapter.path != str(path) for row in self.rows):
            self._append(Adapter(str(path)))
            self._changed()
        next(row for row in self.rows if row.adapter.path == str(path)).slider.setFocus()

    def save_now(self) -> None:
        """Hand on a strength that is still being chosen."""
        if self._saving.isActive():
            self._saving.stop()
            self.edited.emit(self.adapters)

    def offer(self, adapters: Sequence[LibraryAdapter], architecture: str) -> None:
        """Let a person choose; grey is what the model's architecture ("" if none is loaded) cannot take."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for adapter in sorted(adapters, key=lambda one: one.architecture != architecture):
            sentence = text(
                "{name} – for {architecture}", name=adapter.name, architecture=adapter.architecture
            )
            action = menu.addAction(say(sentence).replace("&", "&&"))
            action.setEnabled(not architecture or adapter.architecture == architecture)
            action.triggered.connect(lambda _checked=False, path=adapter.path: self.take(path))
        if not adapters:
            menu.addAction(self.tr("There are no adapters in the library.")).setEnabled(False)
        menu.addSeparator()
        menu.addAction(self.tr("Open a file…")).triggered.connect(self.file_wanted)
        menu.popup(self.add.mapToGlobal(QPoint(0, self.add.height())))

    def _append(self, adapter: Adapter) -> None:
        row = AdapterRow(self._theme, adapter)
        row.changed.connect(self._saving.start)
        row.removal_wanted.connect(lambda: self._on_removed(row))
        self.rows.append(row)
        self._column.addWidget(row)

    def _on_removed(self, row: AdapterRow) -> None:
        self._take_away(row)
        self._changed()
        self.add.setFocus()

    def _take_away(self, row: AdapterRow) -> None:
        self.rows.remove(row)
        self._column.removeWidget(row)
        row.hide()
        row.deleteLater()

    def _changed(self) -> None:
        self._saving.stop()
        self._nothing.setVisible(not self.rows)
        self.edited.emit(self.adapters)


class AdapterRow(QWidget):
    """One adapter.

    Signals:
        changed: Another strength.
        removal_wanted: It is to be left out.
    """

    changed = Signal()
    removal_wanted = Signal()

    def __init__(self, theme: Theme, adapter: Adapter) -> None:
        super().__init__()
        self.adapter = adapter
        name = Path(adapter.path).stem
        label = ElidedLabel(name, middle=True)
        label.setToolTip(adapter.path)
        self.remove = IconButton(theme, "close", say(text("Leave out “{name}”", name=name)))
        self.remove.clicked.connect(self.removal_wanted)
        self.slider = PatientSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, round(_USUAL_MOST * _STEPS))
        self.slider.setPageStep(_STEPS // 4)
        self.number = PatientDoubleSpinBox()
        self.number.setRange(-_MOST, _MOST)
        self.number.setSingleStep(1 / _STEPS)
        self.number.setDecimals(2)
        self.number.setKeyboardTracking(False)
        self.number.setAlignment(Qt.AlignmentFlag.AlignRight)
        keep_height(self.number)
        for control in (self.slider, self.number):
            control.setAccessibleName(say(text("Strength of “{name}”", name=name)))
            control.setToolTip(self.tr("0 is the model alone, 1 as the adapter was trained."))
        self.number.setValue(adapter.strength)
        self._follow(adapter.strength)
        self.slider.valueChanged.connect(self._on_slider)
        self.number.valueChanged.connect(self._on_number)
        self._lay_out(label)

    def _on_slider(self, place: int) -> None:
        self.number.setValue(place / _STEPS)

    def _lay_out(self, label: ElidedLabel) -> None:
        head, foot = QHBoxLayout(), QHBoxLayout()
        head.addWidget(label, 1)
        head.addWidget(self.remove)
        foot.setSpacing(10)
        foot.addWidget(self.slider, 1)
        foot.addWidget(self.number)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(head)
        column.addLayout(foot)

    def _on_number(self, strength: float) -> None:
        self.adapter = dataclasses.replace(self.adapter, strength=round(strength, 2))
        self._follow(strength)
        self.changed.emit()

    def _follow(self, strength: float) -> None:
        blocked = self.slider.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self.slider.setValue(round(strength * _STEPS))
        self.slider.blockSignals(blocked)
