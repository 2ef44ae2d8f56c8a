"""The keys of the window, in groups: those of the table of commands, and those that a page has of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QKeySequence

from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.ui.itemmodels.commands import Command

Keys = tuple[str, Text | str]  # the keys, and what they do


def keyboard_groups(commands: Sequence[Command]) -> list[tuple[Text, list[Keys]]]:
    """Return what each group is about, and its keys."""
    with_keys = [command for command in commands if command.keys]
    pages: list[Keys] = [(one.keys, one.title) for one in with_keys if one.kind is not None]
    rest: list[Keys] = [(one.keys, one.title) for one in with_keys if one.kind is None]
    return [
        (text("Pages"), pages),
        (text("Everywhere"), [*rest, ("Tab", text("The next control")), ("Esc", text("Close, or give up"))]),
        (text("Chat"), _chat()),
        (text("Library"), _library()),
    ]


def _chat() -> list[Keys]:
    return [
        ("Return", text("Send the message")),
        ("Shift+Return", text("Begin a new line")),
        ("Esc", text("Stop the answer")),
        ("Del", text("Move the chosen chat to the trash")),
    ]


def _library() -> list[Keys]:
    return [
        ("Ctrl+F", text("Search (in Discover too)")),
        ("F5", text("Look through the disk again")),
        ("Del", text("Remove the chosen model")),
    ]


def shown_keys(keys: str) -> str:
    """Return keys as they stand on the keyboard; Qt's Spanish writes "Control" out."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText).replace("Control", "Ctrl")
