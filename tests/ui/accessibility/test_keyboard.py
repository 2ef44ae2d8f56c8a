"""Everything is reached with Tab, in reading order, and shows that it has the focus."""

import itertools

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit, QPlainTextEdit, QRadioButton, QWidget

from localllm.ui.theme import SCHEMES
from tests.ui.accessibility.whole_window import OPENERS, PAGES, show_page, wait

MOST_STEPS = 150
NEAR = 8  # pixels: controls of one line are not exactly level


@pytest.mark.parametrize("page", PAGES)
def test_tab_reaches_everything_in_reading_order(window, page):
    show_page(window, page)
    way = _walk(window, Qt.Key.Key_Tab)
    missed = [part for part in _reachable(window) if part not in way]
    assert not missed, _named(missed)
    wrong = [(one, other) for one, other in itertools.pairwise(way) if _before(other, one)]
    assert not wrong, [_named(pair) for pair in wrong]


@pytest.mark.torture
@pytest.mark.parametrize("page", PAGES)
def test_shift_tab_leads_back(window, page):
    show_page(window, page)
    way = _walk(window, Qt.Key.Key_Tab)
    back = _walk(window, Qt.Key.Key_Backtab)
    assert set(back) == set(way), _named(set(back) ^ set(way))


@pytest.mark.parametrize("kind", OPENERS, ids=lambda kind: kind.__name__)
def test_dialogs_are_left_and_walked_by_keyboard(window, kind, qtbot):
    dialog = OPENERS[kind](window)
    wait(window)
    missed = _missed(dialog) and _missed(dialog)  # a part may have come while the first walk was under way
    with qtbot.waitSignal(dialog.rejected):
        QTest.keyClick(dialog.focusWidget() or dialog, Qt.Key.Key_Escape)
    assert not missed


def _missed(dialog):
    way = _walk(dialog, Qt.Key.Key_Tab)
    return _named([part for part in _reachable(dialog) if part not in way])


@pytest.mark.torture
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_has_the_focus_can_be_seen(window, theme, scheme):
    theme.apply(scheme)
    seen, same = set(), []
    window.activateWindow()
    wait(window, window.isActiveWindow)
    try:
        for page in PAGES:
            show_page(window, page)
            for part in _reachable(window):
                kind = (type(part).__mro__[:-4], part.property("kind"), part.objectName())
                if kind not in seen and part.visibleRegion().boundingRect().height() > NEAR:
                    seen.add(kind)
                    same += [] if _changes_with_focus(part) else [part]
    finally:
        theme.apply("light")
    assert len(seen) > 12
    assert not same, "\n".join(_named(same))


def _changes_with_focus(part):
    focused = QApplication.focusWidget()
    if focused is not None:
        focused.clearFocus()
    drawn = part.parentWidget() if isinstance(part, QPlainTextEdit) else part  # the composer's frame
    before = drawn.grab().toImage()
    part.setFocus(Qt.FocusReason.TabFocusReason)
    return part.hasFocus() and drawn.grab().toImage() != before


def _walk(top, key):
    """Return what gets the focus, one after the other, until it comes back to the first."""
    top.activateWindow()
    top.setFocus(Qt.FocusReason.TabFocusReason)
    wait_for = QApplication.processEvents
    wait_for()
    way = []
    for _ in range(MOST_STEPS):
        QTest.keyClick(QApplication.focusWidget() or top, key)
        wait_for()
        part = QApplication.focusWidget()
        if part is None or (way and part is way[0]):
            break
        if way and part is way[-1]:  # from link to link inside a text
            continue
        if part in way:
            raise AssertionError(f"Tab goes round in {_named(way[way.index(part) :])}")
        way.append(part)
    return way


def _reachable(top):
    return [
        part
        for part in top.findChildren(QWidget)
        if part.isVisible()
        and part.isEnabled()
        and part.window() is top
        and part.focusPolicy() & Qt.FocusPolicy.TabFocus
        and part.focusProxy() is None
        and not part.objectName().startswith("qt_")
        and not isinstance(part.parent(), QAbstractButton)
        and not (isinstance(part, QRadioButton) and not part.isChecked())
        and not (isinstance(part, QLineEdit) and part.parent().focusProxy() is part)
    ]


def _before(one, other):
    """Return whether a sibling stands before another as one reads."""
    if one.parentWidget() is not other.parentWidget():
        return False
    a, b = one.geometry(), other.geometry()
    if abs(a.center().y() - b.center().y()) <= NEAR:
        return a.center().x() < b.center().x()
    return a.bottom() <= b.top()


def _named(parts):
    return [f"{type(p).__name__} “{p.accessibleName()}” in {type(p.parent()).__name__}" for p in parts]
