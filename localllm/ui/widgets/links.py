"""Opens folders, and what a model linked to only after the person has seen where it leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

from localllm.texts import text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.texts import Text

_SCHEMES = ("http", "https", "mailto")


def may_open(address: str) -> bool:
    """Return whether an address is of a kind that may be opened at all."""
    url = QUrl(address, QUrl.ParsingMode.StrictMode)
    return url.isValid() and url.scheme().lower() in _SCHEMES and bool(url.host() or url.path())


def open_folder(folder: Path) -> Text | None:
    """Show a folder in the system's file manager; return why it is not shown, None if it is."""
    if QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
        return None
    return text("The folder could not be opened: {folder}", folder=str(folder))


class LinkDialog(QDialog):
    """Shows host and address; opens, copies, or does nothing."""

    def __init__(self, address: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._address = address
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Open a link?"))
        self.setMinimumWidth(440)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(10)
        url = QUrl(address)
        allowed = may_open(address)
        question = text("This opens {host} in your browser.", host=url.host() or address)
        refusal = text("Links of the kind “{kind}” are not opened from a chat.", kind=url.scheme() or "?")
        layout.addWidget(make_label(say(question if allowed else refusal), "heading", wrap=True))
        layout.addWidget(make_label(address[:600], "muted", wrap=True))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        copy = make_button(self.tr("Copy address"))
        copy.clicked.connect(self._on_copy)
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        if allowed:
            follow = make_button(self.tr("Open"), primary=True)
            follow.clicked.connect(self._on_open)
            buttons.addButton(follow, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._address)
        self.accept()

    def _on_open(self) -> None:
        QDesktopServices.openUrl(QUrl(self._address, QUrl.ParsingMode.StrictMode))
        self.accept()
