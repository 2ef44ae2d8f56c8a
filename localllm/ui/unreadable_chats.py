"""What happens when the chats cannot be opened at the start: they are mended, or live in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QMessageBox

from localllm.core.chat_backups import ChatBackups
from localllm.core.chat_store import TRASH_DAYS, ChatStore
from localllm.errors import DamagedStore, LockedStore, NewerStore, StoreError
from localllm.ui.errors import sentences_of
from localllm.ui.widgets.mending_dialog import MendingDialog

if TYPE_CHECKING:
    from pathlib import Path


def open_chats(path: Path, trash_days: int = TRASH_DAYS) -> ChatStore | None:
    """Open the chats; ask what to do where a person can decide; None to give up.

    Nothing is deleted: a damaged file keeps its content under another name. Where the disk cannot be
    written the chats live in memory, and the window says so.
    """
    while True:
        try:
            return ChatStore(path, trash_days=trash_days)
        except DamagedStore:
            if not _mend(path):
                return None
        except (LockedStore, NewerStore) as error:
            if not _ask_again(error):
                return None
        except StoreError as error:
            return ChatStore(path, unsaved=error)


def _mend(path: Path) -> bool:
    """Save what can be read and ask with what to go on; return whether to open the chats again."""
    backups, taken = ChatBackups(path), list[bool]()
    try:
        mending = backups.mending()
        dialog = MendingDialog(mending)
        dialog.saved_chosen.connect(lambda: taken.append(False))
        dialog.backup_chosen.connect(lambda: taken.append(True))
        dialog.exec()  # before the window exists there is no other loop that could wait
        if not taken:
            mending.rescue.file.unlink(missing_ok=True)
            return False
        backups.mend(mending, from_backup=taken[0])
    except StoreError as error:
        return _ask_again(error)
    return True


def _ask_again(error: StoreError) -> bool:
    """Say what is wrong; return whether to try again."""
    box = QMessageBox(QMessageBox.Icon.Warning, "LocalLLM", "\n\n".join(sentences_of(error)))
    box.setTextFormat(Qt.TextFormat.PlainText)
    again = box.addButton(QCoreApplication.translate("Chats", "Try again"), QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Close)
    box.exec()
    return box.clickedButton() is again
