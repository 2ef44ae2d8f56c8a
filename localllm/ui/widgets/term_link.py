"""A word that can be asked about: it looks like its neighbours, and opens the glossary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.texts import text
from localllm.ui.terms import LEVELS, ask_for, explain
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button

if TYPE_CHECKING:
    from PySide6.QtWidgets import QPushButton


def make_term_link(words: str, term_id: str, *, caption: bool = False) -> QPushButton:
    """Return a button that looks like a word on a dotted line and opens the glossary at it.

    `caption` makes it look like the captions of a form.
    """
    link = make_button(words, name=say(text("{term}: what is that?", term=words)))
    link.setProperty("kind", "term")
    link.setProperty("role", "caption" if caption else "body")
    if term_id != LEVELS:
        explain(link, term_id)
    link.clicked.connect(lambda: ask_for(link, term_id))
    return link
