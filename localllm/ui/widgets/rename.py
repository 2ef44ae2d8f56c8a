"""Asks for another title or name."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLineEdit, QVBoxLayout, QWidget

from localllm.ui.widgets.basics import make_label


class RenameDialog(QDialog):
    """One line of text; without words of its own it asks for the title of a chat.

    Signals:
        named: arg: the title, never empty.
    """

    named = Signal(str)

    def __init__(self, title: str, parent: QWidget, heading: str = "", name: str = "") -> None:
        super().__init__(parent)
        name = name or self.tr("Title")
        self.setWindowTitle(heading or self.tr("Rename the chat"))
        self.setMinimumWidth(380)
        self._edit = QLineEdit(title)
        self._edit.setMaxLength(200)
        self._edit.selectAll()
        self._edit.setAccessibleName(name)
        label = make_label(name)
        label.setBuddy(self._edit)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self._on_accepted)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(10)
        column.addWidget(label)
        column.addWidget(self._edit)
        column.addWidget(buttons)

    def _on_accepted(self) -> None:
        title = self._edit.text().strip()
        if title:
            self.named.emit(title)
        self.accept()
