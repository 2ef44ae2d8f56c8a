"""Labels, buttons and cards, made in one way so that all of them look and read alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFocusEvent, QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from localllm.ui.text_room import keep_width

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.ui.theme import Theme

LabelRole = Literal["body", "title", "heading", "strong", "muted", "small", "caption", "code"]
PillKind = Literal["good", "tight", "bad", "plain", "accent"]


def make_label(words: str = "", role: LabelRole = "body", *, wrap: bool = False) -> QLabel:
    """Return a label that shows its words as they are, never as markup."""
    made = QLabel(words)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setProperty("role", role)
    made.setWordWrap(wrap)
    if wrap:
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        made.setSizePolicy(policy)
    return made


def make_pill(words: str, kind: PillKind) -> QLabel:
    """Return a short word on a tinted ground."""
    made = make_label(words)
    made.setProperty("pill", kind)
    made.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Maximum)
    return made


def set_pill(pill: QLabel, words: str, kind: PillKind) -> None:
    """Change what a pill says and how it is tinted."""
    pill.setText(words)
    set_style_property(pill, "pill", kind)


def set_style_property(widget: QWidget, name: str, value: object) -> None:
    """Change a property that the style sheet looks at, and apply it."""
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def make_card(kind: Literal["plain", "accent", "bubble"] = "plain") -> QFrame:
    """Return an empty panel with a border and rounded corners."""
    card = QFrame()
    card.setProperty("card", kind)
    return card


def start_card(card: QWidget, title: str, explained: str = "") -> QVBoxLayout:
    """Return the column of a card that begins with a title, and with what it is about."""
    column = QVBoxLayout(card)
    column.setContentsMargins(18, 14, 18, 14)
    column.setSpacing(10)
    column.addWidget(make_label(title, "heading"))
    if explained:
        column.addWidget(make_label(explained, "muted", wrap=True))
    return column


def left_column(body: QWidget, most: int) -> QVBoxLayout:
    """Return the column of a page that is no wider than `most` pixels at the usual size of text."""
    inner = QWidget()
    keep_width(inner, most=most)
    row = QHBoxLayout(body)  # a limit of the cards' own would count only after their heights are known
    row.setContentsMargins(28, 24, 28, 24)
    row.addWidget(inner, 1000)
    row.addStretch(1)
    column = QVBoxLayout(inner)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(14)
    return column


def empty_layout(layout: QLayout) -> None:
    """Take out of a layout what it holds, and remove it."""
    while (item := layout.takeAt(0)) is not None:
        if (old := item.widget()) is not None:
            old.hide()
            old.deleteLater()


def make_button(words: str, *, primary: bool = False, name: str = "") -> QPushButton:
    """Return a push button; the name is what a screen reader says where the words alone say too little."""
    button = QPushButton(words)
    button.setProperty("kind", "primary" if primary else "plain")
    button.setAccessibleName(name or words)
    button.setCursor(Qt.CursorShape.PointingHandCursor)
    button.setAutoDefault(False)
    return button


def make_link(words: str, *, name: str = "") -> QPushButton:
    """Return a push button that looks like a link."""
    button = make_button(words, name=name)
    button.setProperty("kind", "link")
    return button


class IconButton(QToolButton):
    """A button with only an icon; its name is its tool tip and what a screen reader says."""

    def __init__(self, theme: Theme, icon: str, name: str, *, tint: str = "muted", size: int = 18) -> None:
        if not name:
            raise ValueError("a button without a name cannot be read aloud")
        super().__init__()
        self._theme, self._icon, self._token, self._size = theme, icon, tint, size
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.set_name(name)
        self._on_theme_changed()
        theme.changed.connect(self._on_theme_changed)

    def set_name(self, name: str) -> None:
        """Change what it is called."""
        self.setAccessibleName(name)
        self.setToolTip(name)

    def set_icon(self, icon: str) -> None:
        """Show another icon."""
        self._icon = icon
        self._on_theme_changed()

    def _on_theme_changed(self) -> None:
        self.setIcon(self._theme.icon(self._icon, self._token))
        self.setIconSize(QSize(1, 1) * self._theme.scaled(self._size))


class IconLabel(QLabel):
    """An icon that is only there to be seen."""

    def __init__(self, theme: Theme, icon: str, tint: str = "muted", size: int = 20) -> None:
        super().__init__()
        self._theme, self._icon, self._token, self._size = theme, icon, tint, size
        self._on_theme_changed()
        theme.changed.connect(self._on_theme_changed)

    def set_icon(self, icon: str, token: str) -> None:
        """Show another icon."""
        self._icon, self._token = icon, token
        self._on_theme_changed()

    def _on_theme_changed(self) -> None:
        size = QSize(1, 1) * self._theme.scaled(self._size)
        self.setFixedSize(size)
        icon = self._theme.icon(self._icon, self._token)
        self.setPixmap(icon.pixmap(size, self.devicePixelRatioF()))


class ElidedLabel(QLabel):
    """One line that ends in “…” where it is too long; the whole of it is its tool tip."""

    def __init__(self, words: str = "", role: LabelRole = "body", *, middle: bool = False) -> None:
        super().__init__()
        self._mode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", role)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.set_words(words)

    def set_words(self, words: str) -> None:
        """Show other words."""
        self.setText(words)
        self.setToolTip(words)

    def minimumSizeHint(self) -> QSize:
        """Ask for no more than a few characters."""
        return QSize(QFontMetrics(self.font()).averageCharWidth() * 4, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw what there is room for."""
        painter = QPainter(self)
        fitting = self.fontMetrics().elidedText(self.text(), self._mode, self.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(
            self.rect(), int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), fitting
        )


class PageBody(QWidget):
    """What a scrolling page holds: exactly as high as its wrapped words need at its width."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("page_body")

    def minimumSizeHint(self) -> QSize:
        """Return the height for the present width, where Qt would take that of the narrowest one."""
        size = super().minimumSizeHint()
        layout = self.layout()
        if layout is not None and layout.hasHeightForWidth():
            size.setHeight(layout.heightForWidth(max(self.width(), size.width())))
        return size

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask for another height at another width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()


def ring_on_tab(part: QWidget, event: QFocusEvent) -> None:
    """Let the style sheet draw a ring around what came to have the focus by the keyboard, until it goes."""
    by_key = event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)
    set_style_property(part, "ring", event.gotFocus() and by_key)


class ScrollArea(QScrollArea):
    """Scrolls up and down, sideways only if it must, without a frame; what it holds is as wide as it is."""

    def __init__(self, name: str = "", body: QWidget | None = None) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName(name)
        if body is not None:
            self.setWidget(body)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show a ring if a key brought the focus."""
        super().focusInEvent(event)
        ring_on_tab(self, event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Take the ring away."""
        super().focusOutEvent(event)
        ring_on_tab(self, event)


def column_area(name: str, parts: Iterable[QWidget]) -> ScrollArea:
    """Return a scrolling page with parts one below the other."""
    body = PageBody()
    column = QVBoxLayout(body)
    column.setContentsMargins(0, 0, 8, 0)
    column.setSpacing(14)
    for part in parts:
        column.addWidget(part)
    column.addStretch(1)
    return ScrollArea(name, body)
