"""Controls that the wheel changes only when they have the focus, so that a page can be scrolled over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """A spin box that the wheel changes only when it has the focus."""

    def __init__(self) -> None:
        super().__init__()
        self.lineEdit().setTextMargins(*_MARGINS)


class PatientDoubleSpinBox(_Patience, QDoubleSpinBox):
    """The same for fractions."""

    def __init__(self) -> None:
        super().__init__()
        self.lineEdit().setTextMargins(*_MARGINS)


class PatientSlider(_Patience, QSlider):
    """A slider that the wheel changes only when it has the focus."""


class PatientComboBox(_Patience, QComboBox):
    """A combo box that the wheel changes only when it has the focus."""

    def setAccessibleName(self, name: str) -> None:
        """Say it in the description too: on Linux Qt gives what is chosen as the name."""
        super().setAccessibleName(name)
        self.setAccessibleDescription(name)
