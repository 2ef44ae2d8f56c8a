"""The list of chats, and of those in the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from localllm.texts import text
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.chat_store import ChatSummary

CHAT_ROLE = Qt.ItemDataRole.UserRole + 1
Index = QModelIndex | QPersistentModelIndex


class ChatsItemModel(QAbstractListModel):
    """One row for each chat, newest first."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._chats: list[ChatSummary] = []

    def show_chats(self, chats: Sequence[ChatSummary]) -> None:
        """Show these; rows that stay the same are left alone, so that a selection survives."""
        wanted = list(chats)
        if [chat.id for chat in wanted] == [chat.id for chat in self._chats]:
            self._chats = wanted
            if wanted:
                self.dataChanged.emit(self.index(0), self.index(len(wanted) - 1))
            return
        self.beginResetModel()
        self._chats = wanted
        self.endResetModel()

    def row_of(self, chat_id: int | None) -> int:
        """Return the row of a chat, -1 if it is not there."""
        return next((row for row, chat in enumerate(self._chats) if chat.id == chat_id), -1)

    def chat_at(self, row: int) -> ChatSummary:
        """Return the chat of a row."""
        return self._chats[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Return the number of chats."""
        return 0 if parent.isValid() else len(self._chats)

    def data(self, index: Index, role: int = 0) -> object:
        """Return the title."""
        if not index.isValid() or index.row() >= len(self._chats):
            return None
        chat = self._chats[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.EditRole):
            return chat.title or say(text("New chat"))
        return chat if role == CHAT_ROLE else None
