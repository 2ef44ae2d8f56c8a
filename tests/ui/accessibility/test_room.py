"""Nothing is cut: in English and in a longer language, in a small window, with large text."""

import pytest

from tests.ui.accessibility.cuts import cut_parts
from tests.ui.accessibility.whole_window import OPENERS, PAGES, resize, show_page, wait

SIZES = [(1024, 640), pytest.param((860, 560), marks=pytest.mark.torture)]
USUAL = (1024, 640)


@pytest.mark.parametrize("size", SIZES)
def test_pages_have_room_for_longer_words(longer_window, size):
    resize(longer_window, *size)
    cut = []
    for page in PAGES:
        show_page(longer_window, page)
        cut += [f"{page}: {line}" for line in cut_parts(longer_window)]
    assert (longer_window.width(), longer_window.height()) == size
    assert not cut, "\n" + "\n".join(cut)


@pytest.mark.parametrize("kind", OPENERS, ids=lambda kind: kind.__name__)
def test_dialogs_have_room_for_longer_words(longer_window, kind):
    resize(longer_window, *USUAL)
    dialog = OPENERS[kind](longer_window)
    wait(longer_window)
    cut = cut_parts(dialog)
    assert dialog.width() <= USUAL[0]
    assert dialog.height() <= USUAL[1]
    dialog.reject()
    assert not cut, "\n" + "\n".join(cut)
