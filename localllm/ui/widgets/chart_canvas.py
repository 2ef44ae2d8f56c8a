"""What charts are drawn with: curves, dots, bars, errors, axes and words, on a plot of pyqtgraph's.

What is drawn again is changed, not made anew: making an item costs ten times as much as changing it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter
from PySide6.QtWidgets import QGraphicsObject

from localllm.texts import Number, text
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QFont
    from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

    from localllm.ui.theme import Theme

Place = tuple[float, float]  # in the plot's own numbers
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TICKS = 6
_BETWEEN = 6  # pixels between two numbers at an axis
_MOST_NAMES = 0.45  # of the width, for names at the left
_MOST_ROOM = 0.75  # of the width, for words behind what they name


@dataclass(frozen=True)
class Axis:
    """From where to where an axis goes, and what is written at it; `names` says that those are no numbers."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    names: bool = False


@dataclass(frozen=True)
class Dot:
    """A dot: `symbol` is pyqtgraph's; `edge` and `inside` are colours of the theme, `inside` "" for none."""

    place: Place
    size: float
    symbol: str
    edge: str
    inside: str = ""
    width: float = 1.0


@dataclass
class Words:
    """Words in a chart, and where `Chart` put them, in pixels of the part between the axes."""

    words: str
    color: QColor
    place: Place
    size: tuple[float, float]
    area: QRectF = field(default_factory=QRectF)

    def put(self, spot: QPointF, anchor: Place, most: float = math.inf) -> None:
        """Put the words so that `anchor`, parts of their width and height, is at a spot.

        Words wider than `most` pixels are cut in their middle.
        """
        width, height = min(self.size[0], most), self.size[1]
        self.area = QRectF(spot.x() - anchor[0] * width, spot.y() - anchor[1] * height, width, height)


class _AllWords(QGraphicsObject):
    """Draws all words at once."""

    def __init__(self, view: Any, font: QFont) -> None:
        super().__init__(view)
        self._view, self.font = view, font
        self.words: list[Words] = []

    def boundingRect(self) -> QRectF:
        """Return all between the axes."""
        return QRectF(self._view.boundingRect())

    def paint(
        self, painter: QPainter, _option: QStyleOptionGraphicsItem, _widget: QWidget | None = None
    ) -> None:
        """Write the words."""
        painter.setFont(self.font)
        metrics = QFontMetricsF(self.font)
        for one in self.words:
            room = one.area.width()
            words = one.words
            if room < one.size[0]:
                words = metrics.elidedText(words, Qt.TextElideMode.ElideMiddle, room)
            painter.setPen(one.color)
            painter.drawText(one.area, int(Qt.TextFlag.TextDontClip), words)

    def arranged(self) -> None:
        """Draw them where they are now."""
        self.prepareGeometryChange()
        self.update()


class Canvas:
    """Draws on a plot; everything between `begin` and `end` is what it shows."""

    def __init__(self, pg: Any, plot: Any, theme: Theme, font: QFont) -> None:
        self._pg, self._plot, self._theme = pg, plot, theme
        self._items: dict[str, Any] = {}
        self._used: set[str] = set()
        self._axes: tuple[object, ...] = ()
        self._across = (0.0, 1.0)
        self._below: tuple[tuple[float, str], ...] = ()
        self._names: tuple[tuple[float, str], ...] = ()
        self._words = _AllWords(plot.plotItem.vb, font)
        plot.plotItem.vb.disableAutoRange()  # ranges are always set here

    @property
    def words(self) -> list[Words]:
        """All words."""
        return self._words.words

    @property
    def inside(self) -> QRectF:
        """What is between the axes, in the pixels of `spot_of`."""
        return self._words.boundingRect()

    def begin(self, font: QFont) -> None:
        """Draw everything from here on, words in this font."""
        self._used = set()
        self._words.words, self._words.font = [], font
        self._plot.setBackground(self._theme.token("surface"))

    def end(self) -> None:
        """Remove what was not drawn this time."""
        for key in self._items.keys() - self._used:
            self._plot.plotItem.removeItem(self._items.pop(key))
        self._words.arranged()

    def color(self, token: str) -> QColor:
        """Return a colour of the theme."""
        return self._theme.token(token)

    def spot_of(self, place: Place) -> QPointF:
        """Return where a place is, in pixels from the corner between the axes."""
        return QPointF(self._plot.plotItem.vb.mapFromView(QPointF(*place)))

    def make_room(self, names: Sequence[Words], apart: float) -> None:
        """Let the axis below go so far that words have room behind their places, within limits."""
        width = self.inside.width()
        if width <= 0:
            return
        low, high = self._across
        for one in names:
            room = min((one.size[0] + 2 * apart) / width, _MOST_ROOM)
            high = max(high, low + (one.place[0] - low) / (1 - room))
        self._plot.plotItem.vb.setRange(xRange=(low, high), padding=0, disableAutoRange=False)
        self._thin_out(width / (high - low))
        self._fit_names()

    def _thin_out(self, pixels: float) -> None:
        """Leave out numbers below that would lie over others, the smaller ones; `pixels` are those of 1."""
        metrics, kept = QFontMetricsF(self._words.font), list[tuple[float, str]]()
        left = math.inf
        for place, words in reversed(self._below):
            half = metrics.horizontalAdvance(words) / 2
            if place * pixels + half < left - _BETWEEN:
                kept.append((place, words))
                left = place * pixels - half
        self._plot.plotItem.getAxis("bottom").setTicks([kept])

    def _fit_names(self) -> None:
        """Cut names at the left of which too little would be left for the rest."""
        metrics, most = QFontMetricsF(self._words.font), _MOST_NAMES * self._plot.width()
        names = [
            (place, metrics.elidedText(words, Qt.TextElideMode.ElideMiddle, most))
            for place, words in self._names
        ]
        if names:
            self._plot.plotItem.getAxis("left").setTicks([names])

    def write(self, words: str, token: str, place: Place) -> Words:
        """Write words; `Words.put` says where."""
        size = QFontMetricsF(self._words.font).size(0, words)
        made = Words(words, self.color(token), place, (size.width(), size.height()))
        self._words.words.append(made)
        return made

    def arranged(self) -> None:
        """Draw words that were put elsewhere."""
        self._words.arranged()

    def curve(self, key: str, places: Sequence[Place], token: str, width: float, *, dashed: bool) -> None:
        """Join places."""
        style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
        pen = self._pg.mkPen(self.color(token), width=width, style=style)
        item = self._use(key, lambda: self._pg.PlotCurveItem(antialias=True))
        item.setData([x for x, _ in places], [y for _, y in places], pen=pen)

    def dots(self, key: str, dots: Sequence[Dot]) -> None:
        """Draw dots."""
        pg = self._pg
        spots = [
            {
                "pos": dot.place,
                "size": dot.size,
                "symbol": dot.symbol,
                "brush": pg.mkBrush(self.color(dot.inside)) if dot.inside else None,
                "pen": pg.mkPen(self.color(dot.edge), width=dot.width),
            }
            for dot in dots
        ]
        self._use(key, lambda: pg.ScatterPlotItem(antialias=True)).setData(spots=spots)

    def bars(self, key: str, lengths: Sequence[Place], thick: float, token: str) -> None:
        """Draw bars from the left: how long, and where from the top."""
        color, pg = self.color(token), self._pg
        facts = {
            "x0": [0.0] * len(lengths), "width": [length for length, _ in lengths],
            "y": [y for _, y in lengths], "height": thick, "brush": pg.mkBrush(color), "pen": pg.mkPen(color),
        }  # fmt: skip
        self._use(key, lambda: pg.BarGraphItem(**facts)).setOpts(**facts)

    def errors(self, key: str, places: Sequence[Place], token: str, **sides: Sequence[float]) -> None:
        """Draw errors; of `left`, `right`, `top` and `bottom` two are given."""
        import numpy as np

        pen = self._pg.mkPen(self.color(token), width=1)
        known = {side: np.array(values) for side, values in sides.items()}
        lengths = {side: known.get(side) for side in ("left", "right", "top", "bottom")}
        x, y = np.array([x for x, _ in places]), np.array([y for _, y in places])
        self._use(key, self._pg.ErrorBarItem).setData(x=x, y=y, pen=pen, **lengths)

    def axes(self, below: Axis, beside: Axis, *, grid: str) -> None:
        """Show the axes; `grid` says at the ticks of which there are lines: "below" or "beside"."""
        item = self._plot.plotItem
        font = self._words.font
        look = (below.title, beside.title, beside.names, grid, self.color("muted"), font.toString())
        if look != self._axes:
            self._axes = look
            for side, axis in (("bottom", below), ("left", beside)):
                self._style(item.getAxis(side), axis)
            item.vb.invertY(beside.names)
            item.showGrid(x=grid == "below", y=grid == "beside", alpha=0.12)
        item.getAxis("bottom").setTicks([list(below.ticks)])
        item.getAxis("left").setTicks([list(beside.ticks)])
        self._across, self._below = (below.low, below.high), below.ticks
        self._names = beside.ticks if beside.names else ()
        across, up = self._across, (beside.low, beside.high)
        item.vb.setRange(xRange=across, yRange=up, padding=0, disableAutoRange=False)

    def _style(self, shown: Any, axis: Axis) -> None:
        pen, font = self._pg.mkPen, self._words.font
        shown.setPen(pen(self.color("border_strong")))
        shown.setTextPen(pen(self.color("muted")))
        shown.setTickFont(font)
        shown.setStyle(tickLength=0 if axis.names else -4, hideOverlappingLabels=not axis.names)
        shown.setLabel(axis.title, color=self.color("muted").name())
        shown.showLabel(bool(axis.title))
        shown.label.setFont(font)

    def _use(self, key: str, make: Callable[[], Any]) -> Any:
        """Return what was drawn under this name before, or something new."""
        if key not in self._items:
            self._items[key] = make()
            self._plot.plotItem.addItem(self._items[key])
        self._used.add(key)
        return self._items[key]


def round_ticks(low: float, high: float, unit: float = 1.0) -> tuple[tuple[float, str], ...]:
    """Return about six round numbers of a unit between two."""
    rough = (high - low) / unit / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in _STEPS if step * power >= rough)
    decimals = max(0, -math.floor(math.log10(step))) + (step / power == 2.5 and power <= 1)
    first, last = math.ceil(low / unit / step), math.floor(high / unit / step)
    return tuple((n * step * unit, written(n * step, decimals)) for n in range(first, last + 1))


def written(value: float, decimals: int) -> str:
    """Return a number as the person's language writes it."""
    return say(text("{value}", value=Number(value, decimals)))
