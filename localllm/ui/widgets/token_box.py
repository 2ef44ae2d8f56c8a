"""What to do about a repository that is not for everybody: its licence, and the token of the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QVBoxLayout

from localllm.core.hub.tokens import place_sentence
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label, make_link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.hub.tokens import Place


class TokenBox(QFrame):
    """Shows the reason, and takes a token.

    Signals:
        page_asked: The page on which the licence is accepted is wanted. arg: its address.
        tokens_asked: The page on which tokens are made is wanted.
        entered: arg: a token.
        forget_asked: The token is to be forgotten.
    """

    page_asked = Signal(str)
    tokens_asked = Signal()
    entered = Signal(str)
    forget_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("banner", "notice")
        self._address = ""
        self._head = make_label(role="strong", wrap=True)
        self._rest = make_label(wrap=True)
        self.place = make_label(role="small", wrap=True)
        self.page = make_button(self.tr("Open its page"))
        self.page.clicked.connect(self._on_page)
        self.field = QLineEdit()
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        self.field.setPlaceholderText(self.tr("Access token of the Hub (hf_…)"))
        self.field.setAccessibleName(self.tr("Access token of the Hub (hf_…)"))
        self.field.returnPressed.connect(self._on_entered)
        self.field.textChanged.connect(self._on_typed)
        self.use = make_button(self.tr("Use token"))
        self.use.setEnabled(False)
        self.use.clicked.connect(self._on_entered)
        self.forget = make_link(self.tr("Forget the token"))
        self.forget.clicked.connect(self.forget_asked)
        make = make_link(self.tr("Make a token"))
        make.clicked.connect(self.tokens_asked)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 8)
        column.setSpacing(6)
        row, foot = QHBoxLayout(), QHBoxLayout()
        for widget, share in ((self.page, 0), (self.field, 1), (self.use, 0)):
            row.addWidget(widget, share)
        for widget, share in ((self.place, 1), (make, 0), (self.forget, 0)):
            foot.addWidget(widget, share)
        column.addWidget(self._head)
        column.addWidget(self._rest)
        column.addLayout(row)
        column.addLayout(foot)
        self.hide()

    def show_reason(self, sentences: Sequence[str], page: str) -> None:
        """Say why a token may be needed; the page is the repository's own."""
        self._address = page
        self._head.setText(sentences[0])
        self._rest.setText(" ".join(sentences[1:]))
        self._rest.setVisible(len(sentences) > 1)
        self.show()

    @property
    def reason(self) -> str:
        """What it says."""
        return f"{self._head.text()} {self._rest.text()}".strip()

    def show_place(self, place: Place) -> None:
        """Say where the token is kept."""
        self.place.setText(say(place_sentence(place)))
        self.forget.setVisible(place in ("keyring", "session"))

    def _on_page(self) -> None:
        self.page_asked.emit(self._address)

    def _on_typed(self, words: str) -> None:
        self.use.setEnabled(bool(words.strip()))

    def _on_entered(self) -> None:
        token = self.field.text().strip()
        if token:
            self.field.clear()
            self.entered.emit(token)
