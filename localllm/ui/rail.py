"""The slim rail at the left: one button for each page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from localllm.ui.places import places
from localllm.ui.translation import say

if TYPE_CHECKING:
    from localllm.ui.theme import Theme

_WIDTH = 84


class _PageButton(QToolButton):
    """An icon over a word."""

    def __init__(self, theme: Theme, icon: str, name: str, keys: str) -> None:
        super().__init__()
        self._theme, self._icon = theme, icon
        self.setProperty("kind", "page")
        self.setText(name)
        self.setAccessibleName(name)
        self.setToolTip(f"{name} ({keys})")
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        self.setIconSize(QSize(22, 22))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.toggled.connect(self._show_icon)
        theme.changed.connect(self._show_icon)
        self._show_icon()

    def _show_icon(self) -> None:
        self.setIcon(self._theme.icon(self._icon, "accent" if self.isChecked() else "muted"))


class Rail(QWidget):
    """Chooses the page.

    Signals:
        page_chosen: arg: the name of the page.
    """

    page_chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("rail")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(_WIDTH)
        self._group = QButtonGroup(self)
        self._buttons: dict[str, _PageButton] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 12, 8, 12)
        column.setSpacing(6)
        for place in (place for place in places() if place.rail):
            button = _PageButton(theme, place.icon, say(place.title), place.keys)
            if place.name == "settings":
                column.addStretch(1)
            self._buttons[place.name] = button
            self._group.addButton(button)
            column.addWidget(button)
            button.clicked.connect(lambda _checked=False, name=place.name: self.page_chosen.emit(name))

    def mark(self, page: str) -> None:
        """Show which page is there; none of them for one that has no button."""
        button = self._buttons.get(page)
        if button is not None:
            button.setChecked(True)
            return
        self._group.setExclusive(False)
        for other in self._buttons.values():
            other.setChecked(False)
        self._group.setExclusive(True)
