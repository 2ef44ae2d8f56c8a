"""The slim rail at the left: one button for each page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QButtonGroup, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from localllm.ui.places import places
from localllm.ui.translation import say

if TYPE_CHECKING:
    from localllm.ui.theme import Theme

_WIDTH = 84
_MARGIN = 8
_PADDING = 8  # of a button, both sides together, as in the style sheet


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
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.toggled.connect(self._show_icon)
        theme.changed.connect(self._show_icon)
        self._show_icon()

    def width_in_bold(self) -> int:
        """Return the width that it needs when it is marked."""
        self.ensurePolished()
        font = self.font()
        font.setWeight(QFont.Weight.DemiBold)
        return QFontMetrics(font).horizontalAdvance(self.text()) + _PADDING

    def _show_icon(self) -> None:
        self.setIcon(self._theme.icon(self._icon, "accent" if self.isChecked() else "muted"))
        self.setIconSize(QSize(1, 1) * self._theme.scaled(22))


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
        self._theme = theme
        self._group = QButtonGroup(self)
        self._buttons: dict[str, _PageButton] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(_MARGIN, 12, _MARGIN, 12)
        column.setSpacing(6)
        for place in (place for place in places() if place.rail):
            button = _PageButton(theme, place.icon, say(place.title), place.keys)
            if place.name == "settings":
                column.addStretch(1)
            self._buttons[place.name] = button
            self._group.addButton(button)
            column.addWidget(button)
            button.clicked.connect(lambda _checked=False, name=place.name: self.page_chosen.emit(name))
        theme.changed.connect(self._fit_width)
        self._fit_width()

    def _fit_width(self) -> None:
        """Be as wide as usual, or as the longest word needs in bold."""
        longest = max(button.width_in_bold() for button in self._buttons.values())
        self.setFixedWidth(max(self._theme.scaled(_WIDTH), longest + 2 * _MARGIN))

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
