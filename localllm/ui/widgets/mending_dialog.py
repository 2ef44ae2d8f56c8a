"""Asks with what to go on after the chats were damaged: what could be saved of them, or the last backup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from localllm.core.chat_backups import Mending


class MendingDialog(QDialog):
    """Says what was saved and what not.

    Signals:
        saved_chosen: What was saved is to be taken.
        backup_chosen: The backup is to be taken.
    """

    saved_chosen = Signal()
    backup_chosen = Signal()

    def __init__(self, mending: Mending, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("The chats are damaged"))
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.addStrut(440)  # a least width of the dialog would count for more than the buttons' need
        column.setSpacing(10)
        column.addWidget(make_label(self.tr("The file of your chats is damaged."), "heading", wrap=True))
        for sentence in mending.sentences():
            column.addWidget(make_label(say(sentence), wrap=True))
        column.addWidget(make_label(self.tr("The damaged file is kept beside it."), "muted", wrap=True))
        column.addStretch(1)
        column.addWidget(self._make_buttons(mending))

    def _make_buttons(self, mending: Mending) -> QDialogButtonBox:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        more = mending.backup_has_more
        saved = make_button(self.tr("Go on with what was saved"), primary=not more)
        saved.clicked.connect(self.saved_chosen)
        offered = [saved]
        if mending.backup is not None:
            backup = make_button(self.tr("Go on with the backup"), primary=more)
            backup.clicked.connect(self.backup_chosen)
            offered.append(backup)
        for button in offered:
            buttons.addButton(button, QDialogButtonBox.ButtonRole.AcceptRole)
        offered[more].setDefault(True)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        return buttons
