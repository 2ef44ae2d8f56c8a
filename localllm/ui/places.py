"""The pages there are: their names, titles, icons and keys, in the order in which they are listed."""

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
