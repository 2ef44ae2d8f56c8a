"""A line for a terminal with a button that copies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from localllm.texts import text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import IconButton, make_label

if TYPE_CHECKING:
    from localllm.ui.theme import Theme

_BREAK_AFTER = " /,:"


class CommandBlock(QWidget):
    """Where to type it, the line, and the button."""

    def __init__(self, theme: Theme, where: str, line: str) -> None:
        super().__init__()
        self._line = line
        code = make_label(_breakable(line), "code", wrap=True)
        code.setAccessibleName(line)
        name = say(text("Copy the command: {place}", place=where))
        copy = IconButton(theme, "copy", name)
        copy.clicked.connect(self._on_copy)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(code, 1)
        row.addWidget(copy, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(make_label(where, "small", wrap=True))
        column.addLayout(row)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._line)


def _breakable(line: str) -> str:
    """Let a long word of a command be broken where nobody misreads it."""
    hyphens = line.replace("-", "-\u2060")  # never there: what follows would look like another option
    return "".join(sign + "\u200b" if sign in _BREAK_AFTER else sign for sign in hyphens)
