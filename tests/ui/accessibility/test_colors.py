"""Words can be read on the ground that they really stand on, on every page, in both schemes."""

from collections import Counter

import pytest
from PySide6.QtCore import QPoint, QRect
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QAbstractButton, QLabel, QLineEdit, QWidget

from localllm.ui.widgets.basics import IconLabel
from tests.ui.accessibility.whole_window import PAGES, show_page
from tests.ui.test_theme import contrast

READ, SEEN = 4.5, 3.0  # of words, and of words on what is disabled
MOST_SAMPLES = 20  # of a ground, across and down


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.torture)])
def test_words_can_be_read_on_their_ground(window, theme, scheme):
    if theme.scheme != scheme:
        theme.apply(scheme)
    poor, pairs = set(), set()
    try:
        for page in PAGES:
            show_page(window, page)
            picture = window.grab().toImage()
            for part in _with_words(window):
                ink, ground = _ink_of(part), _ground_of(part, picture, window)
                if ground is None:
                    continue
                pairs.add((ink.name(), ground.name()))
                wanted = READ if part.isEnabled() else SEEN
                if contrast(ink, ground) < wanted:
                    poor.add(
                        f"{page}: {type(part).__name__} {part.text()[:40]!r} {ink.name()} on {ground.name()}"
                    )
    finally:
        if scheme != "light":
            theme.apply("light")
    assert len(pairs) >= 8
    assert not poor, "\n".join(sorted(poor))


def _with_words(window):
    kinds = (QLabel, QAbstractButton, QLineEdit)
    for part in window.findChildren(QWidget):
        if isinstance(part, kinds) and part.isVisible() and part.text() and not isinstance(part, IconLabel):
            yield part


def _ink_of(part):
    group = QPalette.ColorGroup.Active if part.isEnabled() else QPalette.ColorGroup.Disabled
    return part.palette().color(group, part.foregroundRole())


def _ground_of(part, picture, window):
    """Return the colour that most of a part's ground has, None where it is out of sight."""
    seen = part.visibleRegion().boundingRect()
    place = QRect(part.mapTo(window, seen.topLeft()), seen.size()).intersected(picture.rect())
    if place.width() < 8 or place.height() < 8:
        return None
    across, down = (max(1, length // MOST_SAMPLES) for length in (place.width(), place.height()))
    count = Counter(
        picture.pixel(QPoint(x, y))
        for x in range(place.left() + 2, place.right() - 1, across)
        for y in range(place.top() + 2, place.bottom() - 1, down)
    )
    return QColor.fromRgb(count.most_common(1)[0][0]) if count else None
