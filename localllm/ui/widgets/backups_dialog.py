"""Shows the backups of the chats; one can be made, and one can take the place of the chats."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from localllm.texts import Bytes, Moment, plural, text
from localllm.ui.errors import sentences_of
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PySide6.QtGui import QShowEvent

    from localllm.core.chat_backups import Backup
    from localllm.ui.chat_backups import Backups
    from localllm.ui.services import Services
    from localllm.ui.theme import Theme


class BackupsDialog(QDialog):
    """Lists the backups whenever it is shown.

    Signals:
        restore_asked: arg: the backup's `Path`.
    """

    restore_asked = Signal(object)

    def __init__(self, backups: Backups, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._backups = backups
        self.banner = Banner(theme)
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Backups of the chats"))
        self._empty = make_label(self.tr("There is no backup of the chats yet."), "muted", wrap=True)
        self.setWindowTitle(self.tr("Backups of the chats"))
        self.resize(560, 400)
        self._build()
        self.restore_asked.connect(backups.restore)
        self.list.itemSelectionChanged.connect(self._show_choice)
        backups.listed.connect(self._on_listed)
        backups.made.connect(self._on_made)
        backups.replaced.connect(self._on_replaced)
        backups.failed.connect(self._on_failed)

    def showEvent(self, event: QShowEvent) -> None:
        """Look at what there is."""
        super().showEvent(event)
        self._backups.look()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(10)
        column.addWidget(make_label(self.tr("Backups of the chats"), "heading"))
        explained = self.tr(
            "One is made each day, tested, and kept for seven days. "
            "A restored backup takes the place of the chats, which are kept in a file beside it."
        )
        column.addWidget(make_label(explained, "muted", wrap=True))
        column.addWidget(self.banner)
        column.addWidget(self.list, 1)
        column.addWidget(self._empty, 1, Qt.AlignmentFlag.AlignTop)
        self._empty.hide()
        column.addWidget(self._make_buttons())

    def _make_buttons(self) -> QDialogButtonBox:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        make = make_button(self.tr("Back up now"))
        make.clicked.connect(self._backups.make)
        make.setEnabled(self._backups.unsaved is None)
        self.restore = make_button(self.tr("Restore"), primary=True)
        self.restore.clicked.connect(self._on_restore)
        self.restore.setEnabled(False)
        buttons.addButton(make, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.addButton(self.restore, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        return buttons

    def _on_listed(self, found: Sequence[Backup]) -> None:
        self.list.clear()
        for backup in found:
            item = QListWidgetItem(_describe(backup))
            item.setData(Qt.ItemDataRole.UserRole, backup.file)
            self.list.addItem(item)
        self.list.setVisible(bool(found))
        self._empty.setVisible(not found)
        self.list.setCurrentRow(0)
        self._show_choice()

    def _show_choice(self) -> None:
        item = cast("QListWidgetItem | None", self.list.currentItem())
        self.restore.setEnabled(item is not None and self._backups.unsaved is None)

    def _on_restore(self) -> None:
        item = cast("QListWidgetItem | None", self.list.currentItem())
        if item is not None:
            self.restore.setEnabled(False)
            self.restore_asked.emit(item.data(Qt.ItemDataRole.UserRole))

    def _on_made(self, _backup: Backup) -> None:
        self.banner.show_notice([self.tr("The backup is made and tested.")], "notice")
        self._backups.look()

    def _on_replaced(self, kept: Path) -> None:
        done = self.tr("The chats are those of the backup again.")
        before = say(text("What was there before is kept as “{kept}”.", kept=kept.name))
        self.banner.show_notice([done, before], "notice")
        self._show_choice()

    def _on_failed(self, error: Exception) -> None:
        self.banner.show_notice(sentences_of(error), "error")
        self._show_choice()


def show_backups(services: Services, parent: QWidget) -> None:
    """Open the dialog before a window."""
    dialog = BackupsDialog(services.backups, services.theme, parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()


def _describe(backup: Backup) -> str:
    made = Moment(backup.made, time_of_day=True)
    if backup.contents is None:
        return say(text("{made} · cannot be read", made=made))
    found = backup.contents
    return say(
        text(
            "{made} · {messages} in {chats} · {size}",
            made=made,
            messages=plural(found.messages, "1 message", "{count} messages"),
            chats=plural(found.chats, "1 chat", "{count} chats"),
            size=Bytes(backup.size),
        )
    )
