"""Something that few people need, folded away under its name."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

_ARROW = QSize(10, 10)


class Disclosure(QWidget):
    """A button with an arrow, and what it shows or hides."""

    def __init__(self, words: str, content: QWidget) -> None:
        super().__init__()
        self.content = content
        self.button = QToolButton()
        self.button.setText(words)
        self.button.setAccessibleName(words)
        self.button.setCheckable(True)
        self.button.setProperty("kind", "disclosure")
        self.button.setIconSize(_ARROW)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.button.toggled.connect(self._on_toggled)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.button)
        column.addWidget(content)
        self._on_toggled(unfolded=False)

    def unfold(self) -> None:
        """Show what is inside."""
        self.button.setChecked(True)

    def _on_toggled(self, unfolded: bool) -> None:  # noqa: FBT001 - a signal's argument
        self.content.setVisible(unfolded)
        self.button.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
