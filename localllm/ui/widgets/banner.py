"""A message in the page that asked, with the remedy as a button."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from localllm.ui.announce import announce
from localllm.ui.widgets.basics import IconButton, IconLabel, make_button, make_label, set_style_property

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.ui.theme import Theme

BannerKind = Literal["error", "warning", "notice"]
_ICONS = {"error": ("warning", "danger"), "warning": ("warning", "warning"), "notice": ("info", "muted")}


Action = tuple[str, Callable[[], object]]  # what the button says, and what it does


class Banner(QFrame):
    """One notice at a time; hidden while there is none."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._icon = IconLabel(theme, "info")
        self._head = make_label(role="strong", wrap=True)
        self._rest = make_label(wrap=True)
        self._actions = QHBoxLayout()
        self._dismiss = IconButton(theme, "close", self.tr("Dismiss"))
        self._buttons: list[QPushButton] = []
        self._build()
        self.hide()

    def show_notice(
        self,
        sentences: Sequence[str],
        kind: BannerKind,
        actions: Sequence[Action] = (),
    ) -> None:
        """Show sentences, the first one strong, and a button for each (label, what to do)."""
        set_style_property(self, "banner", kind)
        self._icon.set_icon(*_ICONS[kind])
        self._head.setText(sentences[0])
        self._rest.setText(" ".join(sentences[1:]))
        self._rest.setVisible(len(sentences) > 1)
        self._set_actions(actions)
        self.setAccessibleName(" ".join(sentences))
        self.show()
        announce(self, " ".join(sentences), urgent=kind == "error")

    @property
    def sentences(self) -> str:
        """What it says."""
        return f"{self._head.text()} {self._rest.text()}".strip()

    @property
    def buttons(self) -> list[QPushButton]:
        """The buttons that it offers now."""
        return list(self._buttons)

    def _build(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 9, 8, 9)
        row.setSpacing(10)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self._head)
        words.addWidget(self._rest)
        self._dismiss.clicked.connect(self.hide)
        row.addWidget(self._icon)
        row.addLayout(words, 1)
        row.addLayout(self._actions)
        row.addWidget(self._dismiss, 0, Qt.AlignmentFlag.AlignTop)

    def _set_actions(self, actions: Sequence[Action]) -> None:
        for button in self._buttons:
            self._actions.removeWidget(button)
            button.hide()
            button.deleteLater()
        self._buttons = []
        before: QWidget = self._dismiss
        for label, act in actions:
            button = make_button(label)
            button.clicked.connect(self.hide)
            button.clicked.connect(_without_arguments(act))
            self._actions.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
            self._buttons.append(button)
            QWidget.setTabOrder(before, button)
            before = button


def _without_arguments(act: Callable[[], object]) -> Callable[[], None]:
    """Keep what a button says of itself from the action."""

    def call() -> None:
        act()

    return call
