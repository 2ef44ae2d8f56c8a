"""What happens when the chats cannot be opened at the start: a sentence, and a way on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QMessageBox

from localllm.core.chat_store import ChatStore
from localllm.errors import StoreError
from localllm.ui.errors import sentences_of

if TYPE_CHECKING:
    from pathlib import Path


def open_chats(path: Path) -> ChatStore | None:
    """Open the chats; ask what to do while they cannot be; None to give up.

    Nothing is deleted: a file that is put aside keeps its content under another name.
    """
    while True:
        try:
            return ChatStore(path)
        except StoreError as error:
            if not _ask(path, error):
                return None


def _ask(path: Path, error: StoreError) -> bool:
    """Say what is wrong; return whether to try again."""
    box = QMessageBox(QMessageBox.Icon.Warning, "LocalLLM", "\n\n".join(sentences_of(error)))
    box.setTextFormat(Qt.TextFormat.PlainText)
    again = box.addButton(QCoreApplication.translate("Chats", "Try again"), QMessageBox.ButtonRole.AcceptRole)
    aside = None
    if path.is_file():
        words = QCoreApplication.translate("Chats", "Put the file aside and start without chats")
        aside = box.addButton(words, QMessageBox.ButtonRole.ActionRole)
    box.addButton(QMessageBox.StandardButton.Close)
    box.exec()  # before the window exists there is no other loop that could wait
    if aside is not None and box.clickedButton() is aside:
        put_aside(path)
        return True
    return box.clickedButton() is again


def put_aside(path: Path) -> None:
    """Rename the file and what belongs to it to `chats.invalid-<time>.db…`."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(path.with_name(f"{path.stem}.invalid-{stamp}{path.suffix}{suffix}"))
