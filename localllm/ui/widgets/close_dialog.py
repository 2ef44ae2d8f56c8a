"""Asks before the window is closed while work goes on that would be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

from localllm.texts import plural
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QShowEvent

    from localllm.texts import Text

_MOST = 4  # that are named


class CloseDialog(QDialog):
    """Names what goes on.

    Signals:
        agreed: The window is to be closed all the same.
    """

    agreed = Signal()

    def __init__(self, titles: Sequence[Text], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("The Lab is working"))
        self.setMinimumWidth(420)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(8)
        head = plural(
            len(titles), "One piece of work is not done yet.", "{count} pieces of work are not done yet."
        )
        column.addWidget(make_label(say(head), "heading", wrap=True))
        for title in titles[:_MOST]:
            column.addWidget(make_label(say(title), wrap=True))
        column.addWidget(
            make_label(
                self.tr("If you close now it is given up. Nothing unfinished stays on the disk."),
                "muted",
                wrap=True,
            )
        )
        self.buttons = QDialogButtonBox()
        self.keep = make_button(self.tr("Keep working"), primary=True)
        self.stop = make_button(self.tr("Stop it and close"))
        self.buttons.addButton(self.keep, QDialogButtonBox.ButtonRole.RejectRole)
        self.buttons.addButton(self.stop, QDialogButtonBox.ButtonRole.DestructiveRole)
        self.keep.clicked.connect(self.reject)
        self.stop.clicked.connect(self._on_stop)
        column.addWidget(self.buttons)

    def showEvent(self, event: QShowEvent) -> None:
        """Let Enter keep the work."""
        super().showEvent(event)
        self.keep.setFocus()

    def _on_stop(self) -> None:
        self.accept()
        self.agreed.emit()
