"""Explains terms where they stand: a tool tip with the short meaning, and F1 or a click for the rest."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QWhatsThisClickedEvent

from localllm.core.glossary import Glossary
from localllm.paths import resources_folder
from localllm.texts import text
from localllm.ui.translation import language, say

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

_TERM = "term"


def glossary() -> Glossary:
    """Return the glossary in the language of the window."""
    return _load(language())


def explain(widget: QWidget, term_id: str) -> None:
    """Give a control a tool tip that says what its term means; F1 there opens the glossary at it."""
    short = glossary().get(term_id).short
    widget.setProperty(_TERM, term_id)
    widget.setToolTip(short + "\n" + say(text("More in the glossary: F1")))


def term_at(widget: QWidget | None) -> str:
    """Return the term that a control or what holds it was given, "" if none."""
    while widget is not None:
        found = widget.property(_TERM)
        if found:
            return str(found)
        widget = widget.parentWidget()
    return ""


def ask_for(widget: QWidget, term_id: str) -> None:
    """Let the window that a control belongs to open the glossary."""
    window = widget.window()
    while (owner := window.parentWidget()) is not None:
        window = owner.window()
    QCoreApplication.sendEvent(window, QWhatsThisClickedEvent(term_id))


@cache
def _load(tongue: str) -> Glossary:
    return Glossary.load(resources_folder() / "glossary.json", tongue)
