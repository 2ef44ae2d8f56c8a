"""What a chart of benches shows, and how it is drawn with pyqtgraph: bars, lines, or a roofline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from PySide6.QtCore import QPointF, Qt

from localllm.texts import Number, text
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QFont

    from localllm.core.bench import BenchRow
    from localllm.ui.theme import Theme

View = Literal["bars", "lines", "roof"]
_COLORS = ("accent", "part_kv", "part_compute", "syntax_keyword", "danger", "success", "muted")
_SYMBOLS = ("o", "s", "t", "d", "t1", "h", "star")
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST_TICKS = 9
_LONGEST_NAME = 44  # characters beside a bar
_BAR = 0.66  # of the room of each
_FEWEST_BARS = 5  # for which there is room, so that one alone is no wall
_APART = 8.0  # pixels between the end of a line and its name
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))


@dataclass(frozen=True)
class Mark:
    """A row's place; of bars `x` is the speed and `y` the place from the top. `tip` says all about it."""

    row: BenchRow
    x: float
    y: float
    error: float
    series: int
    tip: str


@dataclass(frozen=True)
class Picture:
    """What is drawn.

    Attributes:
        names: Of bars one for each mark, else one for each series.
        across: Title of the axis below.
        up: Title of the axis at the left.
        roofs: Names and bandwidths, bytes/s.
    """

    view: View
    marks: tuple[Mark, ...] = ()
    names: tuple[str, ...] = ()
    across: str = ""
    up: str = ""
    roofs: tuple[tuple[str, float], ...] = ()


class Drawing:
    """Draws a picture into a plot; `names` of lines are put where there is room by `place_names`."""

    def __init__(self, pg: Any, plot: Any, theme: Theme, font: QFont, picture: Picture) -> None:
        self._pg, self._plot, self._theme, self._font = pg, plot, theme, font
        self.picture = picture
        self._item = plot.plotItem
        self._names: list[tuple[Any, tuple[float, float]]] = []

    def place_of(self, mark: Mark) -> tuple[float, float]:
        """Return where a mark is drawn, in the plot's own numbers."""
        if self.picture.view == "roof":
            return math.log10(mark.x), math.log10(mark.y)
        return mark.x, mark.y

    def draw(self, current: Mark | None) -> None:
        """Draw everything anew."""
        self._item.clear()
        self._item.vb.invertY(self.picture.view == "bars")
        self._plot.setBackground(self._theme.token("surface"))
        self._names = []
        if self.picture.marks:
            {"bars": self._draw_bars, "lines": self._draw_lines, "roof": self._draw_roof}[self.picture.view]()
            self._draw_current(current)
            self.place_names()

    def place_names(self) -> None:
        """Put what is written beside bars and lines where there is room, none over another."""
        if self.picture.view == "bars":
            self._place_speeds()
            return
        view = self._item.vb
        height = 0.0
        before = -math.inf
        spots = sorted(
            (view.mapViewToScene(QPointF(*place)).y(), number)
            for number, (_name, place) in enumerate(self._names)
        )
        for y, number in spots:
            name, (x, _y) = self._names[number]
            height = name.boundingRect().height()
            middle = max(y, before + height * 0.86)
            before = middle
            place = view.mapSceneToView(QPointF(view.mapViewToScene(QPointF(x, 0)).x() + _APART, middle))
            name.setPos(place.x(), place.y())

    def _place_speeds(self) -> None:
        """Write each speed behind its bar, and leave room for it."""
        view = self._item.vb
        if not self._names or view.width() <= 0:
            return
        room = max(name.boundingRect().width() for name, _ in self._names) + 2 * _APART
        longest = max(x for _, (x, _y) in self._names) or 1.0
        right = longest * view.width() / max(view.width() - room, view.width() / 4)
        self._item.setXRange(0.0, right, padding=0)
        for name, (x, y) in self._names:
            name.setPos(x + right * _APART / view.width(), y)

    def _color(self, series: int) -> Any:
        return self._theme.token(_COLORS[series % len(_COLORS)])

    def _draw_bars(self) -> None:
        pg, marks = self._pg, self.picture.marks
        longest = max(mark.x + mark.error for mark in marks) or 1.0
        for series in {mark.series for mark in marks}:
            mine, color = [mark for mark in marks if mark.series == series], self._color(series)
            bar = pg.BarGraphItem(
                x0=[0.0] * len(mine),
                y=[mark.y for mark in mine],
                width=[mark.x for mark in mine],
                height=_BAR,
                brush=pg.mkBrush(color),
                pen=pg.mkPen(color),
            )
            self._item.addItem(bar)
        for mark in marks:
            words = self._text(_speed(mark), "text", (0, 0.5))
            self._names.append((words, (mark.x + mark.error, mark.y)))
        self._draw_errors(across=True)
        labels = [(mark.y, _short(name)) for mark, name in zip(marks, self.picture.names, strict=True)]
        self._show_range(
            (0.0, longest), (-0.6, max(_FEWEST_BARS, len(marks)) - 0.4), _round_ticks(0.0, longest), labels
        )

    def _draw_lines(self) -> None:
        pg, marks = self._pg, self.picture.marks
        for series, name in enumerate(self.picture.names):
            mine = [mark for mark in marks if mark.series == series]
            if not mine:
                continue
            color = self._color(series)
            self._item.plot(
                [mark.x for mark in mine],
                [mark.y for mark in mine],
                pen=pg.mkPen(color, width=1.8),
                symbol=_SYMBOLS[series % len(_SYMBOLS)],
                symbolSize=9,
                symbolBrush=pg.mkBrush(color),
                symbolPen=pg.mkPen(color),
                antialias=True,
            )
            words = self._text(_short(name), "text", (0, 0.5))
            self._names.append((words, (mine[-1].x, mine[-1].y)))
        self._draw_errors(across=False)
        xs, top = [mark.x for mark in marks], max(mark.y + mark.error for mark in marks) or 1.0
        low, width = min(xs), (max(xs) - min(xs)) or 1.0
        room = 0.4 if any(self.picture.names) else 0.08
        right = max(xs) + room * width
        self._show_range(
            (low - 0.05 * width, right), (0.0, top * 1.1), _value_ticks(xs), _round_ticks(0.0, top * 1.1)
        )

    def _draw_roof(self) -> None:
        pg, marks = self._pg, self.picture.marks
        places = [self.place_of(mark) for mark in marks]
        left, right = min(x for x, _ in places) - 0.5, max(x for x, _ in places) + 0.7
        tops = [math.log10(bandwidth) for _, bandwidth in self.picture.roofs]
        top = max(y for _, y in places)
        for (name, _), height in zip(self.picture.roofs, tops, strict=True):
            end = min(right, max(top + 0.35 - height, left + 0.4))
            pen = pg.mkPen(self._theme.token("danger"), width=1.6)
            self._item.addItem(
                pg.PlotCurveItem([left, end], [left + height, end + height], pen=pen, antialias=True)
            )
            self._text(name, "danger", (1.04, 0.9)).setPos(end, end + height)
        pen = pg.mkPen(self._theme.token("muted"), width=1.2, style=Qt.PenStyle.DashLine)
        self._item.addItem(pg.PlotCurveItem([left, right], [top, top], pen=pen))
        spots = [
            {"pos": place, "symbol": _SYMBOLS[mark.series % len(_SYMBOLS)], "size": 10,
             "brush": pg.mkBrush(self._color(mark.series)), "pen": pg.mkPen(self._color(mark.series))}
            for mark, place in zip(marks, places, strict=True)
        ]  # fmt: skip
        self._item.addItem(pg.ScatterPlotItem(spots=spots, antialias=True))
        for series, name in enumerate(self.picture.names):
            mine = [place for mark, place in zip(marks, places, strict=True) if mark.series == series]
            self._names.append((self._text(_short(name), "text", (0, 0.5)), max(mine)))
        low = min(*(y for _, y in places), *(left + height for height in tops)) - 0.25
        high = top + 0.6
        self._show_range((left, right), (low, high), _power_ticks(left, right), _power_ticks(low, high))

    def _draw_errors(self, *, across: bool) -> None:
        marks = [mark for mark in self.picture.marks if mark.error > 0]
        if not marks:
            return
        pen = self._pg.mkPen(self._theme.token("text" if across else "muted"), width=1)
        errors = _array([mark.error for mark in marks])
        sides = ("left", "right") if across else ("top", "bottom")
        x, y = _array([mark.x for mark in marks]), _array([mark.y for mark in marks])
        self._item.addItem(self._pg.ErrorBarItem(x=x, y=y, pen=pen, **dict.fromkeys(sides, errors)))

    def _draw_current(self, current: Mark | None) -> None:
        if current is None:
            return
        pen = self._pg.mkPen(self._theme.token("text"), width=2)
        spot = {"pos": self.place_of(current), "size": 15, "symbol": "o", "pen": pen, "brush": None}
        self._item.addItem(self._pg.ScatterPlotItem(spots=[spot], antialias=True))

    def _text(self, words: str, token: str, anchor: tuple[float, float]) -> Any:
        item = self._pg.TextItem(words, color=self._theme.token(token), anchor=anchor)
        item.setFont(self._font)
        item.textItem.document().setDocumentMargin(1)
        self._item.addItem(item, ignoreBounds=True)
        return item

    def _show_range(
        self,
        xs: tuple[float, float],
        ys: tuple[float, float],
        below: Sequence[tuple[float, str]],
        beside: Sequence[tuple[float, str]],
    ) -> None:
        self._item.setRange(xRange=xs, yRange=ys, padding=0, disableAutoRange=True)
        titles = {"bottom": self.picture.across, "left": self.picture.up}
        for side, ticks in (("bottom", below), ("left", beside)):
            axis = self._item.getAxis(side)
            axis.setTicks([list(ticks)])
            axis.setPen(self._pg.mkPen(self._theme.token("border_strong")))
            axis.setTextPen(self._pg.mkPen(self._theme.token("muted")))
            axis.setTickFont(self._font)
            bars = side == "left" and self.picture.view == "bars"
            axis.setStyle(tickLength=0 if bars else -4, hideOverlappingLabels=not bars)
            axis.setLabel(titles[side], color=self._theme.token("muted").name())
            axis.showLabel(bool(titles[side]))
            axis.label.setFont(self._font)
        bars = self.picture.view == "bars"
        self._item.showGrid(x=bars, y=not bars, alpha=0.12)


def _array(values: Sequence[float]) -> Any:
    import numpy as np

    return np.array(values)


def _short(name: str) -> str:
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _speed(mark: Mark) -> str:
    from localllm.ui.itemmodels.bench import speed_of

    return say(speed_of(mark.row))


def _round_ticks(low: float, high: float) -> list[tuple[float, str]]:
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in _STEPS if step * power >= rough)
    decimals = max(0, -math.floor(math.log10(step))) + (step / power == 2.5 and power <= 1)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [(n * step, _number(n * step, decimals)) for n in range(first, last + 1)]


def _value_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    """Return a mark for each value where they are few."""
    every = sorted(set(values))
    if len(every) <= _MOST_TICKS:
        return [(value, f"{value:.0f}") for value in every]
    return _round_ticks(every[0], every[-1])


def _power_ticks(low: float, high: float) -> list[tuple[float, str]]:
    factors = (1.0, 3.0) if high - low < 3 else (1.0,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    found = [(n + math.log10(factor), factor * 10.0**n) for n in powers for factor in factors]
    return [(place, _with_prefix(value)) for place, value in found if low <= place <= high]


def _with_prefix(value: float) -> str:
    for size, prefix in _PREFIXES:
        if value >= size:
            return f"{_number(value / size, 0)} {prefix}"
    return _number(value, 0 if value >= 1 else 1)


def _number(value: float, decimals: int) -> str:
    return say(text("{value}", value=Number(value, decimals)))
