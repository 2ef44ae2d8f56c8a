"""Explains terms where they stand: a tool tip with the short meaning, and F1 or a click for the rest."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QWhatsThisClickedEvent

from localllm.core.glossary import Glossary
from localllm.paths import resources_folder
from localllm.texts import LANGUAGES, text
from localllm.ui.translation import language, say

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

LEVELS = "levels"  # in the place of a term: the table of quantizations
OF_SETTINGS = {
    "context_length": "context",
    "kv_type": "kv-cache",
    "kv_type_k": "kv-cache",
    "threads": "threads",
    "gpu_layers": "offload",
    "flash_attention": "flash-attention",
    "experts_layers_on_cpu": "moe",
    "batch": "batch",
    "ubatch": "batch",
    "temperature": "temperature",
    "top_k": "top-k",
    "top_p": "top-p",
    "min_p": "min-p",
    "repeat_penalty": "repetition-penalty",
    "seed": "seed",
    "max_tokens": "token",
    "system_prompt": "system-prompt",
}
_TERM = "term"


def glossary() -> Glossary:
    """Return the glossary in the language of the window."""
    return _load(language())


def names_of_terms() -> dict[str, tuple[str, ...]]:
    """Return what each term is called in every language, by its id."""
    every = [_load(tongue) for tongue in LANGUAGES]
    return {term.id: tuple(known.get(term.id).name for known in every) for term in every[0].terms}


def explain(widget: QWidget, term_id: str) -> None:
    """Add to a control's tool tip what its term means; F1 there opens the glossary at it."""
    known = glossary()
    words = [widget.toolTip(), known.get(term_id).short, say(text("More in the glossary: F1"))]
    widget.setProperty(_TERM, term_id)
    widget.setToolTip("\n\n".join(filter(None, words)))


def explain_setting(widget: QWidget, name: str) -> None:
    """Explain the control of a setting, if its name stands for a term."""
    if name in OF_SETTINGS:
        explain(widget, OF_SETTINGS[name])


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
