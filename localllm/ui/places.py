"""The pages there are, in the order in which they are listed, and the parts of those that have tabs."""

from __future__ import annotations

from dataclasses import dataclass

from localllm.texts import Text, text

FIRST_PAGE = "home"


@dataclass(frozen=True)
class Place:
    """A page; `keys` opens it, `rail` says whether it has a button there."""

    name: str
    icon: str
    title: Text
    keys: str = ""
    rail: bool = True


@dataclass(frozen=True)
class Part:
    """A tab of a page."""

    title: Text
    help: Text


def places() -> tuple[Place, ...]:
    """Return every page; `page_makers.py` has the maker of each."""
    return (
        Place("home", "computer", text("Home"), "Ctrl+1"),
        Place("chat", "chat", text("Chat"), "Ctrl+2"),
        Place("discover", "discover", text("Discover"), "Ctrl+3"),
        Place("library", "library", text("Library"), "Ctrl+4"),
        Place("lab", "lab", text("Lab"), "Ctrl+5"),
        Place("bench", "bench", text("Bench"), "Ctrl+6"),
        Place("settings", "settings", text("Settings"), "Ctrl+,"),
        Place("diagnostics", "speed", text("Diagnostics"), rail=False),
        Place("glossary", "info", text("Glossary"), "F1", rail=False),
    )


def parts_of(page: str) -> tuple[Part, ...]:
    """Return the tabs of a page from left to right, none for a page without."""
    parts = {
        "lab": (
            Part(text("Convert"), text("Make GGUF from a checkpoint in Hugging Face format")),
            Part(text("Quantize"), text("Make a model smaller, with fewer bits for each weight")),
            Part(text("Quality"), text("Measure what a model lost against the one it was made from")),
        ),
        "bench": (
            Part(text("Measure"), text("Measure how fast models are on this computer")),
            Part(text("History"), text("What was measured before, and how runs compare")),
            Part(text("Tune"), text("Search the settings that make a model fastest here")),
        ),
        "glossary": (
            Part(text("Terms"), text("What the terms of this program mean")),
            Part(text("Quantization levels"), text("What each quantization costs, and when to use it")),
            Part(text("Keyboard"), text("The keys of this window, every shortcut")),
        ),
    }
    return parts.get(page, ())
