"""Says above every page that the chats are not saved, or damaged, and offers the way on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from localllm.ui.errors import sentences_of
from localllm.ui.widgets.mending_dialog import MendingDialog
from localllm.ui.widgets.notice_bar import NoticeBar

if TYPE_CHECKING:
    from localllm.core.chat_backups import Mending
    from localllm.ui.chat_backups import Backups
    from localllm.ui.theme import Theme
    from localllm.ui.widgets.banner import Action


class ChatsNotice(NoticeBar):
    """Hidden as long as the chats are sound and on disk."""

    def __init__(self, backups: Backups, theme: Theme) -> None:
        super().__init__(theme)
        self._backups = backups
        backups.damaged.connect(self._on_damaged)
        backups.mending_found.connect(self._on_mending_found)
        backups.replaced.connect(self.banner.hide)
        backups.made.connect(
            self.banner.hide
        )  # what was not possible for a while is, and the chats are sound
        backups.saved_after_all.connect(self.banner.hide)
        backups.failed.connect(self._on_failed)
        self._show_unsaved()

    def _show_unsaved(self) -> None:
        error = self._backups.unsaved
        if error is not None:
            again: Action = (self.tr("Try again"), self._backups.save_after_all)
            head = self.tr(
                "Your chats are not being saved: what you write now is gone when the window closes."
            )
            self.banner.show_notice([head, *sentences_of(error)], "warning", [again])

    def _on_damaged(self, error: Exception) -> None:
        if self.banner.isHidden():
            save: Action = (self.tr("Save what can be read"), self._backups.look_for_mending)
            self.banner.show_notice(sentences_of(error), "error", [save])

    def _on_mending_found(self, mending: Mending) -> None:
        dialog = MendingDialog(mending, self.window())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.saved_chosen.connect(lambda: self._backups.mend(mending, from_backup=False))
        dialog.backup_chosen.connect(lambda: self._backups.mend(mending, from_backup=True))
        dialog.open()

    def _on_failed(self, error: Exception) -> None:
        if self._backups.unsaved is not None:
            self._show_unsaved()
        else:
            self.banner.show_notice(sentences_of(error), "error")
