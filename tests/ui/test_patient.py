"""The wheel scrolls the page, and changes a control only when it has the focus."""

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QComboBox, QLineEdit, QVBoxLayout, QWidget

from localllm.texts import Translator
from localllm.ui.widgets.patient import PatientComboBox, PatientDoubleSpinBox, PatientSlider, PatientSpinBox


def value_of(control):
    return control.currentIndex() if isinstance(control, QComboBox) else control.value()


def turn_the_wheel(control):
    middle = QPointF(control.rect().center())
    nothing = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
    notch = QPoint(0, 120)
    event = QWheelEvent(middle, control.mapToGlobal(middle), QPoint(), notch, *nothing, False)
    QApplication.sendEvent(control, event)


@pytest.mark.parametrize("kind", [PatientSpinBox, PatientDoubleSpinBox, PatientSlider, PatientComboBox])
def test_only_what_has_the_focus_follows_the_wheel(kind, show, qtbot):
    page, other, control = QWidget(), QLineEdit(), kind()
    if isinstance(control, QComboBox):
        control.addItems(["a", "b", "c"])
        control.setCurrentIndex(1)
    else:
        control.setValue(5)
    column = QVBoxLayout(page)
    column.addWidget(other)
    column.addWidget(control)
    show(page, 200, 100).activateWindow()
    other.setFocus()
    before = value_of(control)
    turn_the_wheel(control)
    assert value_of(control) == before
    control.setFocus()
    qtbot.waitUntil(control.hasFocus)
    turn_the_wheel(control)
    assert value_of(control) != before


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("typed", ["0.25", "0,25"])
def test_a_fraction_is_taken_with_a_point_and_with_a_comma(show, qtbot, translated, language, typed):
    translated(Translator(language))
    control = show(PatientDoubleSpinBox(), 200, 40)
    control.setSuffix(" GiB")
    control.selectAll()
    qtbot.keyClicks(control, typed)
    assert control.value() == 0.25
