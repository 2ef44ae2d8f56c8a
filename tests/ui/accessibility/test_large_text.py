"""Text of up to twice the usual size is not cut, and follows the setting while the window is open."""

import pytest

from tests.ui.accessibility.cuts import cut_parts
from tests.ui.accessibility.whole_window import PAGES, resize, show_page


@pytest.mark.torture
@pytest.mark.parametrize("percent", [150, 200])
def test_large_text_is_not_cut(window, theme, percent):
    """At 1280×800 everything has room; in the least window at least the page can be used: it scrolls."""
    theme.set_text_size(percent)
    try:
        resize(window, 1280, 800)
        cut = []
        for page in PAGES:
            show_page(window, page)
            cut += [f"{page}: {line}" for line in cut_parts(window)]
        assert (window.width(), window.height()) == (1280, 800)
    finally:
        theme.set_text_size(100)
        resize(window, 1024, 640)
    assert not cut, "\n" + "\n".join(cut)
