"""Chooses a number of tokens: a slider that stops at powers of two, and a field for any number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QHBoxLayout, QSlider, QWidget

from localllm.texts import text
from localllm.ui.text_room import keep_height, keep_width
from localllm.ui.translation import say
from localllm.ui.widgets.patient import PatientSlider, PatientSpinBox

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_TOKENS, MOST_TOKENS = 256, 1_048_576
SPIN_WIDTH = 140


def stops_to(most: int) -> tuple[int, ...]:
    """Return the powers of two from 256 to the most, and the most itself."""
    powers = [1 << bits for bits in range(LEAST_TOKENS.bit_length() - 1, MOST_TOKENS.bit_length())]
    return (*(power for power in powers if power < most), most)


class _TokensBox(PatientSpinBox):
    """A field into which more than the most can be typed, which then becomes the most."""

    def validate(self, input: str, pos: int, /) -> object:  # noqa: A002 - Qt's own name
        """Let a number that is too large be typed."""
        if input.isdecimal() and int(input) > self.maximum() and len(input) <= len(str(MOST_TOKENS)):
            return QValidator.State.Intermediate, input, pos
        return super().validate(input, pos)

    def fixup(self, input: str, /) -> str:  # noqa: A002 - Qt's own name
        """Return the most instead of more."""
        if input.isdecimal() and int(input) > self.maximum():
            return str(self.maximum())
        return input


class ContextSlider(QWidget):
    """Slider and field together.

    Signals:
        changed: A person chose another number. arg: tokens.
    """

    changed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._stops: tuple[int, ...] = ()
        self.slider = PatientSlider(Qt.Orientation.Horizontal)
        self.slider.setPageStep(1)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setTickInterval(1)
        self.spin = _TokensBox()
        self.spin.setRange(LEAST_TOKENS, MOST_TOKENS)
        self.spin.setSingleStep(1024)
        self.spin.setKeyboardTracking(False)
        self.spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        keep_height(self.spin)
        keep_width(self.spin, least=SPIN_WIDTH)
        for control in (self.slider, self.spin):
            control.setAccessibleName(self.tr("Context length"))
        self.set_most(MOST_TOKENS)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(self.slider, 1)
        row.addWidget(self.spin)
        self.slider.valueChanged.connect(self._on_slid)
        self.spin.valueChanged.connect(self._on_typed)

    @property
    def value(self) -> int:
        """The tokens chosen."""
        return self.spin.value()

    def set_most(self, most: int) -> None:
        """End at so many tokens, those a model was trained for."""
        stops = stops_to(max(LEAST_TOKENS, min(most, MOST_TOKENS)))
        if stops == self._stops:
            return
        self._stops = stops
        self._quietly(self.slider, lambda: self.slider.setRange(0, len(self._stops) - 1))
        self._quietly(self.spin, lambda: self.spin.setRange(LEAST_TOKENS, self._stops[-1]))
        self.slider.setToolTip(
            say(text("Up to the {most} tokens that it was trained for.", most=self._stops[-1]))
        )
        self._follow(self.spin.value())

    def set_value(self, tokens: int) -> None:
        """Show another number without telling anybody; what is being typed stays."""
        if tokens == self.spin.value():
            return
        self._quietly(self.spin, lambda: self.spin.setValue(tokens))
        self._follow(tokens)

    def _follow(self, tokens: int) -> None:
        nearest = min(range(len(self._stops)), key=lambda place: abs(self._stops[place] - tokens))
        self._quietly(self.slider, lambda: self.slider.setValue(nearest))

    def _on_slid(self, place: int) -> None:
        self._quietly(self.spin, lambda: self.spin.setValue(self._stops[place]))
        self.changed.emit(self.spin.value())

    def _on_typed(self, tokens: int) -> None:
        self._follow(tokens)
        self.changed.emit(tokens)

    def _quietly(self, control: QWidget, act: Callable[[], object]) -> None:
        blocked = control.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        act()
        control.blockSignals(blocked)
