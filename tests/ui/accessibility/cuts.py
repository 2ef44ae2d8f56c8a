"""What is cut: words that have less room than they need, and parts that are out of sight."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QDoubleSpinBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSpinBox,
    QTabBar,
    QWidget,
)

from localllm.ui.widgets.basics import ElidedLabel

_FEW_PIXELS = 2
_LEADING = 3  # pixels between lines, which wrapped words can do without below the last one
_AROUND_A_FIELD = 16
_AROUND_A_CHOICE = 34


def cut_parts(root):
    """Return a line for each visible part below `root` that is cut, without those that say all in their tool tip."""
    found = [f"{_called(part)}: {why}" for part in _shown(root) if (why := _why_cut(part))]
    return [*found, *_out_of_sight(root)]


def _shown(root):
    return [
        part
        for part in root.findChildren(QWidget)
        if part.isVisible() and not part.objectName().startswith("qt_") and part.window() is root.window()
    ]


def _why_cut(part):
    for kind, why in _KINDS:
        if isinstance(part, kind):
            return why(part)
    return ""


def _cut_label(label):
    if not label.text():
        return ""
    if label.wordWrap():
        return _lack("height", label.heightForWidth(label.width()) - _LEADING, label.height())
    return _lack("width", label.sizeHint().width(), label.width()) or _too_low(label)


def _cut_elided(label):
    return "" if label.toolTip() or not label.text() else "an elided label without a tool tip"


def _cut_control(control):
    said = bool(control.toolTip()) and control.toolTip().startswith(_words_of(control).strip(" …"))
    if said and _words_of(control):
        return _too_low(control)
    return _lack("width", _needed_width(control), control.width()) or _too_low(control)


def _cut_tabs(bar):
    return "" if bar.usesScrollButtons() else _lack("width", bar.sizeHint().width(), bar.width())


def _cut_field(field):
    if field.text() or field.toolTip() or not field.placeholderText():
        return _too_low(field)
    needed = field.fontMetrics().horizontalAdvance(field.placeholderText()) + _AROUND_A_FIELD
    return _lack("width of the placeholder", needed, field.width())


def _needed_width(part):
    if isinstance(part, QComboBox):
        words = part.currentText()
        return (
            part.fontMetrics().horizontalAdvance(words) + _AROUND_A_CHOICE
            if words and not part.toolTip()
            else 0
        )
    if isinstance(part, QAbstractButton) and not part.text():
        return part.iconSize().width()
    return part.minimumSizeHint().width()


def _words_of(part):
    return part.text() if isinstance(part, QAbstractButton) else ""


def _too_low(part):
    return _lack("height", part.fontMetrics().height(), part.height())


def _cut_titles(header):
    if header.orientation() != Qt.Orientation.Horizontal:
        return ""
    model = header.model()
    cut = []
    for section in range(header.count()):
        words = model.headerData(section, Qt.Orientation.Horizontal)
        tip = model.headerData(section, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
        if header.isSectionHidden(section) or not words or tip:
            continue
        needed = header.fontMetrics().horizontalAdvance(str(words)) + 12
        if needed > header.sectionSize(section) + _FEW_PIXELS:
            cut.append(f"{words} ({needed} > {header.sectionSize(section)})")
    return ", ".join(cut)


def _lack(what, needed, given):
    return f"{what} {given}, needs {needed}" if needed > given + _FEW_PIXELS else ""


def _out_of_sight(root):
    """Return what is wider than the area that scrolls it up and down only."""
    for area in root.findChildren(QScrollArea):
        off = area.horizontalScrollBarPolicy() == Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        if area.isVisible() and off and area.widget() is not None:
            lack = _lack("width", area.widget().width(), area.viewport().width())
            if lack:
                yield f"{_called(area)}: what it scrolls has more than the {lack}"


_KINDS = (
    (ElidedLabel, _cut_elided),
    (QLabel, _cut_label),
    ((QAbstractButton, QComboBox, QSpinBox, QDoubleSpinBox), _cut_control),
    (QTabBar, _cut_tabs),
    (QLineEdit, _cut_field),
    (QHeaderView, _cut_titles),
)


def _called(part):
    words = _words_of(part) or (part.text() if isinstance(part, QLabel) else "")
    place = []
    above = part
    while above is not None and len(place) < 4:
        place.append(type(above).__name__)
        above = above.parentWidget()
    return f"{' < '.join(place)} “{words or part.accessibleName() or part.objectName()}”"
