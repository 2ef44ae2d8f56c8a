"""Everything the window does on a key or by name: one table, from which keys, palette and hints come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from localllm.texts import Text, text
from localllm.ui.places import places

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.ui.routes import Routes
    from localllm.ui.shell import Shell


@dataclass(frozen=True)
class Command:
    """Something that can be done now; `keys` does it from anywhere in the window."""

    name: str
    title: Text
    run: Callable[[], object]
    keys: str = ""
    icon: str = ""


def page_commands(window: Shell) -> tuple[Command, ...]:
    """Return one command for each page."""
    return tuple(
        Command(place.name, place.title, partial(window.show_page, place.name), place.keys, place.icon)
        for place in places()
    )


def window_commands(window: Shell, routes: Routes) -> tuple[Command, ...]:
    """Return what the window does, pages first."""
    return (
        *page_commands(window),
        Command("new chat", text("New chat"), routes.new_chat, "Ctrl+N", "plus"),
        Command("load", text("Choose a model"), window.open_loader, "Ctrl+L", "model"),
        Command("downloads", text("Downloads"), window.downloads_panel.toggle, "Ctrl+J", "download"),
        Command("rename", text("Rename the chat"), window.rename_chat, "F2", "pencil"),
        Command("quit", text("Quit"), window.close, "Ctrl+Q", "close"),
    )
