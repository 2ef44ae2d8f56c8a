"""Model cards as they are written by strangers."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.hub.cards import LONGEST, readable_card


@pytest.mark.parametrize(
    ("card", "shown"),
    [
        ('<img src="https://x.y/logo.png" alt="Logo">', "[Logo](https://x.y/logo.png)"),
        ('<a href="https://a.b/c d"><img alt="badge" src="https://s/z"></a>', "[badge](https://a.b/c%20d)"),
        ("[![lic](https://s/x.svg)](LICENSE)", "[lic](LICENSE)"),
        ('![pic](https://s/p.png "title")', "[pic](https://s/p.png)"),
        ("![](https://s/p.png?raw=1)", "[p.png](https://s/p.png?raw=1)"),
        ("<h2>Use</h2><b>now</b>", "## Use\n\n**now**"),
        ("a <!-- not this --> b", "a  b"),
        ("a <!-- never closed", "a"),
        ("`<div>` and <think> stay", "`<div>` and <think> stay"),
        ("<script>x</script>", "x"),
        ("    <p>\n    indented</p>", "indented"),
        ("<a href='#top'>up</a>", "[up](#top)"),
    ],
)
def test_html_becomes_markdown(card, shown):
    assert readable_card(card).strip() == shown


def test_code_stays_as_it_is():
    code = '```html\n<div><img src="x"></div>\n![a](b)\n```'
    assert readable_card(f"Text\n{code}\n<br>").startswith(f"Text\n{code}")


_PIECES = (
    "<!--",
    "-->",
    '<a href="',
    ">",
    "![",
    "](",
    "[",
    "<img src=x ",
    "`",
    "<",
    "```\n",
    "~~~\n",
    " ",
    "a",
    "\n",
    "</a>",
)


@given(st.lists(st.sampled_from((*_PIECES, "words ", "(b)", "<b>")), max_size=60).map("".join))
def test_words_stay_whatever_stands_around_them(card):
    for opened in ("<!--", "<img src=x ", '<a href="'):  # what they hold is no words
        card = card.replace(opened, "")
    shown = readable_card(f"first\n\n{card}\n\nlast")
    assert shown.startswith("first")
    assert shown.count("words") >= min(1, card.count("words"))
    assert "last" in shown


@pytest.mark.parametrize("piece", [*_PIECES, "[[a](b)", "![a](", "<a "])
def test_the_longest_cards_take_a_moment_only(piece):
    started = time.process_time()
    shown = readable_card(piece * (2 * LONGEST // len(piece)))
    assert time.process_time() - started < 3
    assert len(shown) < 4 * LONGEST
