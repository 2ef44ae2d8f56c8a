"""What a model takes, as a stacked bar against what there is, with the numbers in words beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from localllm.texts import Bytes, Text, text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label

if TYPE_CHECKING:
    from localllm.core.estimate import DeviceMemory
    from localllm.core.fit import MemoryEstimate
    from localllm.ui.theme import Theme

BAR_HEIGHT = 10
PART_TOKENS = ("part_weights", "part_kv", "part_compute", "part_overhead")


@dataclass(frozen=True)
class MemoryPart:
    """A part of the memory in bytes, with its colour token."""

    name: Text
    token: str
    size: float


def parts_of(estimate: MemoryEstimate | DeviceMemory) -> list[MemoryPart]:
    """Return the parts that a person is told about; together they are the total."""
    names = (text("Weights"), text("Context (KV)"), text("Compute"), text("Overhead"))
    work = (estimate.compute or 0) + (estimate.output or 0)
    sizes = (estimate.weights or 0, estimate.kv or 0, work, estimate.overhead or 0)
    return [MemoryPart(*part) for part in zip(names, PART_TOKENS, sizes, strict=True)]


class Stack(QWidget):
    """The bar alone."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._parts: list[MemoryPart] = []
        self._room = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_parts(self, parts: list[MemoryPart], room: float) -> None:
        """Draw these parts within so much room; more than there is room for fills the bar."""
        self._parts, self._room = parts, room
        self.update()

    def sizeHint(self) -> QSize:
        """Return a thin bar."""
        return QSize(120, BAR_HEIGHT)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the parts side by side."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        outline = QPainterPath()
        outline.addRoundedRect(QRectF(self.rect()), 4, 4)
        painter.setClipPath(outline)
        painter.fillRect(self.rect(), self._theme.token("raised"))
        whole = max(self._room, sum(part.size for part in self._parts), 1.0)
        left = 0.0
        for part in self._parts:
            width = self.width() * part.size / whole
            painter.fillRect(
                QRectF(left, 0, max(width - 1, 0.5), self.height()), self._theme.token(part.token)
            )
            left += width


class Swatch(QWidget):
    """A square in a token's colour."""

    def __init__(self, theme: Theme, token: str) -> None:
        super().__init__()
        self._theme, self._token = theme, token
        self.setFixedSize(9, 9)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Fill it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.token(self._token))
        painter.drawRoundedRect(self.rect(), 2, 2)


class Legend(QWidget):
    """What each colour stands for, with its number."""

    def __init__(self, theme: Theme, *, columns: int = 2) -> None:
        super().__init__()
        self._labels = [make_label(role="small", wrap=True) for _ in PART_TOKENS]
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(2)
        for number, (token, label) in enumerate(zip(PART_TOKENS, self._labels, strict=True)):
            entry = QHBoxLayout()
            entry.setSpacing(6)
            entry.addWidget(Swatch(theme, token))
            entry.addWidget(label, 1)
            if token == PART_TOKENS[2]:
                label.setToolTip(self.tr("The compute and output buffers together"))
            grid.addLayout(entry, number // columns, number % columns)

    def show_parts(self, parts: list[MemoryPart]) -> None:
        """Show other numbers."""
        for part, label in zip(parts, self._labels, strict=True):
            label.setText(say(text("{name}: {size}", name=part.name, size=Bytes(part.size))))

    def describe(self) -> str:
        """Return everything it shows in words."""
        return ", ".join(label.text() for label in self._labels)


class MemoryBar(QWidget):
    """The bar, what it adds up to, and a legend with every number."""

    def __init__(self, theme: Theme, *, columns: int = 2) -> None:
        super().__init__()
        self._bar = Stack(theme)
        self._summary = make_label(role="small", wrap=True)
        self._legend = Legend(theme, columns=columns)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self._summary)
        column.addWidget(self._bar)
        column.addWidget(self._legend)

    def show_estimate(self, estimate: MemoryEstimate, room: float) -> None:
        """Show an estimate against the bytes that a model may have now; 0 where that is not known."""
        parts = parts_of(estimate)
        self._bar.show_parts(parts, room)
        self._legend.show_parts(parts)
        total = Bytes(estimate.total)
        needs = text("Memory: {total} of {room} free for models", total=total, room=Bytes(room))
        self._summary.setText(say(needs if room else text("Memory: {total}", total=total)))
        self._bar.setAccessibleDescription(self.describe())

    def describe(self) -> str:
        """Return everything it shows in words."""
        return f"{self._summary.text()}, {self._legend.describe()}"
