"""The list of chats at the left of the Chat page: new, rename, trash and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QListView, QMenu, QVBoxLayout, QWidget

from localllm.texts import plural, text
from localllm.ui.errors import errors_shown
from localllm.ui.itemmodels.chats import ChatsItemModel
from localllm.ui.translation import say
from localllm.ui.widgets.basics import IconButton, make_button, make_label, make_link
from localllm.ui.widgets.empty_state import EmptyState
from localllm.ui.widgets.rename import RenameDialog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.chat_store import ChatStore, ChatSummary
    from localllm.ui.theme import Theme


class _ChatsView(QListView):
    """A list that tells of the keys which act on a chat.

    Signals:
        rename_pressed: F2.
        delete_pressed: Delete.
    """

    rename_pressed = Signal()
    delete_pressed = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Catch F2 and Delete."""
        if event.key() == Qt.Key.Key_F2:
            self.rename_pressed.emit()
        elif event.key() == Qt.Key.Key_Delete:
            self.delete_pressed.emit()
        else:
            super().keyPressEvent(event)


class ChatListPanel(QWidget):
    """Chats, or the trash.

    Signals:
        chat_chosen: arg: chat id.
        new_asked: A new chat is wanted.
        chat_trashed: arg: `ChatSummary`, to offer Undo.
        chat_renamed: arg: chat id.
        backups_asked: The backups are to be shown.
        failed: The store refused. arg: the exception.
    """

    chat_chosen = Signal(int)
    new_asked = Signal()
    chat_trashed = Signal(object)
    chat_renamed = Signal(int)
    backups_asked = Signal()
    failed = Signal(object)

    def __init__(self, store: ChatStore, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("chat_list_panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._store, self._theme = store, theme
        self._chats = ChatsItemModel(self)
        self._in_trash = False
        self._current: int | None = None
        self._view = _ChatsView()
        self._empty = EmptyState()
        self._build()
        self._view.setModel(self._chats)
        self._view.selectionModel().currentChanged.connect(self._on_current_changed)
        self._view.rename_pressed.connect(self.rename_current)
        self._view.delete_pressed.connect(self.trash_current)
        self._view.customContextMenuRequested.connect(self._on_menu_asked)

    def reload(self) -> None:
        """Read the list again and keep the selection."""
        with errors_shown(self.failed.emit):
            self._show(self._store.chats(trash=self._in_trash))

    def show_chats(self, chats: Sequence[ChatSummary]) -> None:
        """Show chats that were read elsewhere; the trash stays if it is what is shown."""
        if not self._in_trash:
            self._show(chats)

    def _show(self, chats: Sequence[ChatSummary]) -> None:
        self._chats.show_chats(chats)
        self._select(self._current)
        nothing = self._chats.rowCount() == 0
        self._empty.setVisible(nothing)
        self._view.setVisible(not nothing)

    def set_current(self, chat_id: int | None) -> None:
        """Mark a chat as the one that is shown."""
        self._current = chat_id
        self._select(chat_id)

    def rename_current(self) -> None:
        """Ask for another title."""
        chat = self._chosen()
        if chat is not None and not self._in_trash:
            dialog = RenameDialog(chat.title, self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.named.connect(partial(self._rename, chat.id))
            dialog.open()

    def trash_current(self) -> None:
        """Move the chosen chat to the trash."""
        chat = self._chosen()
        if chat is not None and not self._in_trash:
            with errors_shown(self.failed.emit):
                self._store.trash(chat.id)
                self.reload()
                self.chat_trashed.emit(chat)

    def show_trash(self, *, trash: bool) -> None:
        """Show the trash, or the chats again."""
        self._in_trash = trash
        self._trash_button.setChecked(trash)
        self._title.setText(self.tr("Trash") if trash else self.tr("Chats"))
        self._say_empty()
        self._restore.setVisible(trash)
        self._backups.setVisible(trash)
        self.reload()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        head = QHBoxLayout()
        self._title = make_label(self.tr("Chats"), "heading")
        self._trash_button = IconButton(self._theme, "trash", self.tr("Show the trash"))
        self._trash_button.setCheckable(True)
        self._trash_button.clicked.connect(self._on_trash_clicked)
        new = IconButton(self._theme, "plus", self.tr("New chat (Ctrl+N)"), tint="accent")
        new.clicked.connect(self.new_asked)
        head.addWidget(self._title, 1)
        head.addWidget(self._trash_button)
        head.addWidget(new)
        column.addLayout(head)
        self._view.setAccessibleName(self.tr("Chats"))
        self._view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._view.setTextElideMode(Qt.TextElideMode.ElideRight)
        self._view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._view.setUniformItemSizes(True)
        self._empty.step_asked.connect(self._on_step)
        self._say_empty()
        self._restore = make_button(self.tr("Restore"))
        self._restore.clicked.connect(self._on_restore)
        self._restore.setVisible(False)
        column.addWidget(self._view, 1)
        column.addWidget(self._empty, 1, Qt.AlignmentFlag.AlignTop)
        column.addWidget(self._restore)
        self._backups = make_link(self.tr("Backups…"), name=self.tr("Backups of the chats"))
        self._backups.clicked.connect(self.backups_asked)
        self._backups.setVisible(False)
        column.addWidget(self._backups, 0, Qt.AlignmentFlag.AlignLeft)

    def _select(self, chat_id: int | None) -> None:
        selection = self._view.selectionModel()
        row = self._chats.row_of(chat_id)
        selection.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect
        selection.setCurrentIndex(self._chats.index(row) if row >= 0 else QModelIndex(), flags)
        selection.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        self._view.viewport().update()

    def _chosen(self) -> ChatSummary | None:
        index = self._view.currentIndex()
        return self._chats.chat_at(index.row()) if index.isValid() else None

    def _rename(self, chat_id: int, title: str) -> None:
        with errors_shown(self.failed.emit):
            self._store.rename(chat_id, title)
            self.reload()
            self.chat_renamed.emit(chat_id)

    def _on_current_changed(self, index: QModelIndex) -> None:
        if index.isValid() and not self._in_trash:
            self.chat_chosen.emit(self._chats.chat_at(index.row()).id)

    def _say_empty(self) -> None:
        if self._in_trash:
            sentence = plural(
                self._store.trash_days,
                "The trash is empty. Chats that you delete stay here for one day.",
                "The trash is empty. Chats that you delete stay here for {count} days.",
            )
            words = say(sentence)
            self._empty.say(words, self.tr("Back to the chats"))
        else:
            words = self.tr(
                "No chats yet. What you write and what is answered is kept here, on this computer."
            )
            self._empty.say(words, self.tr("New chat"))

    def _on_step(self) -> None:
        if self._in_trash:
            self.show_trash(trash=False)
        else:
            self.new_asked.emit()

    def _on_trash_clicked(self) -> None:
        self.show_trash(trash=not self._in_trash)

    def _on_restore(self) -> None:
        chat = self._chosen()
        if chat is not None:
            self.restore(chat.id)

    def restore(self, chat_id: int) -> None:
        """Take a chat out of the trash and show it."""
        with errors_shown(self.failed.emit):
            self._store.restore(chat_id)
            self.show_trash(trash=False)
            self.chat_chosen.emit(chat_id)

    def _on_menu_asked(self, place: QPoint) -> None:
        index = self._view.indexAt(place)
        if not index.isValid():
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if self._in_trash:
            _add(menu, self.tr("Restore")).triggered.connect(self._on_restore)
        else:
            rename = _add(menu, self.tr("Rename"), "F2")
            rename.triggered.connect(self.rename_current)
            _add(menu, self.tr("Move to trash"), "Del").triggered.connect(self.trash_current)
        menu.popup(self._view.viewport().mapToGlobal(place))


def _add(menu: QMenu, words: str, keys: str = "") -> QAction:
    action = menu.addAction(words)
    if keys:
        action.setShortcut(QKeySequence(keys))
    return action


def describe_trashed(chat: ChatSummary) -> str:
    """Return what happened to a chat that was moved to the trash."""
    return say(text("“{title}” is in the trash.", title=chat.title or say(text("New chat"))))
