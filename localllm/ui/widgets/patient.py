"""Controls that the wheel changes only when they have the focus, so that a page can be scrolled over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QSlider, QSpinBox

if TYPE_CHECKING:
    from PySide6.QtGui import QWheelEvent
    from PySide6.QtWidgets import QWidget as Control
else:
    Control = object  # a second base that is one of Qt's would not do

_MARGINS = (6, 0, 0, 0)  # pixels around a number, which a style sheet cannot say


class _Patience(Control):
    """Goes before the control's own class."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the wheel to the page unless focused."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class PatientSpinBox(_Patience, QSpinBox):
    """A spin box that the wheel changes only when it has the focus.

    Args:
        most: What the highest number is called; "" shows it as it is.
    """

    def __init__(self, most: str = "") -> None:
        super().__init__()
        self._most = most
        self.lineEdit().setTextMargins(*_MARGINS)

    def textFromValue(self, value: int) -> str:
        """Return what is shown of a number."""
        return self._most if self._most and value == self.maximum() else super().textFromValue(value)

    def valueFromText(self, words: str) -> int:
        """Return the number of what is shown."""
        return self.maximum() if self._most and words == self._most else super().valueFromText(words)

    def validate(self, words: str, position: int) -> object:
        """Take the highest number's name too."""
        if self._most and words == self._most:
            return QValidator.State.Acceptable, words, position
        return super().validate(words, position)


class PatientDoubleSpinBox(_Patience, QDoubleSpinBox):
    """The same for fractions, which are taken with a point and with a comma."""

    def __init__(self) -> None:
        super().__init__()
        self.lineEdit().setTextMargins(*_MARGINS)

    def validate(self, words: str, position: int) -> object:
        """Put this language's decimal sign for the other one, which Qt leaves out: 0.5 would become 05."""
        if words != self.specialValueText():
            for sign in ".,":
                words = words.replace(sign, self.locale().decimalPoint())
        return super().validate(words, position)


class PatientSlider(_Patience, QSlider):
    """A slider that the wheel changes only when it has the focus."""


class PatientComboBox(_Patience, QComboBox):
    """A combo box that the wheel changes only when it has the focus."""

    def setAccessibleName(self, name: str) -> None:
        """Say it in the description too: on Linux Qt gives what is chosen as the name."""
        super().setAccessibleName(name)
        self.setAccessibleDescription(name)
