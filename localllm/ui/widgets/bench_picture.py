"""What a chart of benches shows: bars, lines, or a roofline; and how each is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QPointF

from localllm.ui.itemmodels.bench import details_of, speed_of
from localllm.ui.translation import say
from localllm.ui.widgets.chart_canvas import Axis, Dot, round_ticks, written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.bench import BenchRow
    from localllm.ui.widgets.chart_canvas import Canvas, Place, Words

View = Literal["bars", "lines", "roof"]
_COLORS = ("accent", "part_kv", "part_compute", "syntax_keyword", "danger", "success", "muted")
_SYMBOLS = ("o", "s", "t", "d", "t1", "h", "star")
_MOST_TICKS = 9
_LONGEST_NAME = 44  # characters beside a bar
_BAR = 0.66  # of the room of each
_FEWEST_BARS = 5  # for which there is room, so that one alone is no wall
_ROOF_SHOWN = 1.2  # powers of ten of a roof, also where everything is far below it
_APART = 8.0  # pixels between the end of a line and its name
_CLOSE = 0.86  # of its height by which a name is apart from the next
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))


@dataclass(frozen=True)
class Mark:
    """A row's place; of bars `x` is the speed and `y` the place from the top. `more` goes into its tip."""

    row: BenchRow
    x: float
    y: float
    error: float
    series: int
    more: str = ""

    @property
    def tip(self) -> str:
        """Everything about the row."""
        return f"{details_of(self.row)}\n{self.more}".strip()


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

    def place_of(self, mark: Mark) -> Place:
        """Return where a mark is drawn, in the plot's own numbers."""
        return (math.log10(mark.x), math.log10(mark.y)) if self.view == "roof" else (mark.x, mark.y)


def draw(canvas: Canvas, picture: Picture) -> None:
    """Draw a picture that has marks."""
    drawers: dict[View, Callable[[Canvas, Picture], None]] = {
        "bars": _draw_bars,
        "lines": _draw_lines,
        "roof": _draw_roof,
    }
    drawers[picture.view](canvas, picture)


def put_words(canvas: Canvas, picture: Picture) -> None:
    """Put what is written beside bars and lines where there is room, none over another."""
    count = len(canvas.words) - len(picture.roofs)
    names, roofs = canvas.words[:count], canvas.words[count:]
    canvas.make_room(names, _APART)
    for one in roofs:
        one.put(canvas.spot_of(one.place), (1.04, 0.9))
    spots = [canvas.spot_of(one.place) for one in names]
    heights = [spot.y() for spot in spots]
    if picture.view != "bars":  # those are apart already
        heights = _spread(heights, names, canvas.inside.height())
    for one, spot, height in zip(names, spots, heights, strict=True):
        most = canvas.inside.right() - spot.x() - _APART
        one.put(QPointF(spot.x() + _APART, height), (0, 0.5), most)


def _spread(heights: Sequence[float], names: Sequence[Words], bottom: float) -> list[float]:
    """Return heights at which no words are over others, from the top down, and then up from the bottom."""
    found = list(heights)
    order = sorted(range(len(found)), key=found.__getitem__)
    before = -math.inf
    for place in order:
        before = found[place] = max(found[place], before + names[place].size[1] * _CLOSE)
    below = math.inf
    for place in reversed(order):
        high = names[place].size[1]
        below = found[place] = min(found[place], bottom - high / 2, below - high * _CLOSE)
    return found


def _draw_bars(canvas: Canvas, picture: Picture) -> None:
    marks = picture.marks
    for series in sorted({mark.series for mark in marks}):
        lengths = [(mark.x, mark.y) for mark in marks if mark.series == series]
        canvas.bars(f"bars {series}", lengths, _BAR, _color(series))
    for mark in marks:
        canvas.write(say(speed_of(mark.row)), "text", (mark.x + mark.error, mark.y))
    known = [mark for mark in marks if mark.error > 0]
    if known:
        errors = [mark.error for mark in known]
        canvas.errors("errors", [(mark.x, mark.y) for mark in known], "text", left=errors, right=errors)
    longest = max(mark.x + mark.error for mark in marks) or 1.0
    names = tuple((mark.y, _short(name)) for mark, name in zip(marks, picture.names, strict=True))
    canvas.axes(
        Axis(picture.up, 0.0, longest, round_ticks(0.0, longest)),
        Axis("", -0.6, max(_FEWEST_BARS, len(marks)) - 0.4, names, names=True),
        grid="below",
    )


def _draw_lines(canvas: Canvas, picture: Picture) -> None:
    marks = picture.marks
    known = [mark for mark in marks if mark.error > 0]
    for series, name in enumerate(picture.names):
        places = [(mark.x, mark.y) for mark in marks if mark.series == series]
        if places:
            canvas.curve(f"line {series}", places, _color(series), 1.8, dashed=False)
            canvas.write(_short(name), "text", places[-1])
    if known:
        errors = [mark.error for mark in known]
        canvas.errors("errors", [(mark.x, mark.y) for mark in known], "muted", top=errors, bottom=errors)
    canvas.dots("dots", [_dot(picture, mark, 9) for mark in marks])
    xs, top = [mark.x for mark in marks], 1.1 * (max(mark.y + mark.error for mark in marks) or 1.0)
    width = (max(xs) - min(xs)) or 1.0
    canvas.axes(
        Axis(picture.across, min(xs) - 0.05 * width, max(xs) + 0.05 * width, _value_ticks(xs)),
        Axis(picture.up, 0.0, top, round_ticks(0.0, top)),
        grid="beside",
    )


def _draw_roof(canvas: Canvas, picture: Picture) -> None:
    places = [picture.place_of(mark) for mark in picture.marks]
    farthest = max(x for x, _ in places)
    left, right = min(x for x, _ in places) - 0.5, farthest + 0.7
    tops = [math.log10(bandwidth) for _, bandwidth in picture.roofs]
    top = max(y for _, y in places)
    high = max([top + 0.6, *(left + height + _ROOF_SHOWN for height in tops)])
    canvas.curve("most", [(left, top), (farthest, top)], "muted", 1.2, dashed=True)
    canvas.dots("dots", [_dot(picture, mark, 10) for mark in picture.marks])
    for series, name in enumerate(picture.names):
        mine = [picture.place_of(mark) for mark in picture.marks if mark.series == series]
        canvas.write(_short(name), "text", max(mine))
    for number, ((name, _), height) in enumerate(zip(picture.roofs, tops, strict=True)):
        end = min(right, high - 0.25 - height)
        slope = [(left, left + height), (end, end + height)]
        canvas.curve(f"roof {number}", slope, "danger", 1.6, dashed=False)
        canvas.write(name, "danger", slope[-1])
    low = min([*(y for _, y in places), *(left + height for height in tops)]) - 0.25
    canvas.axes(
        Axis(picture.across, left, right, _power_ticks(left, right)),
        Axis(picture.up, low, high, _power_ticks(low, high)),
        grid="beside",
    )


def _dot(picture: Picture, mark: Mark, size: int) -> Dot:
    token = _color(mark.series)
    return Dot(picture.place_of(mark), size, _SYMBOLS[mark.series % len(_SYMBOLS)], token, token)


def _color(series: int) -> str:
    return _COLORS[series % len(_COLORS)]


def _short(name: str) -> str:
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _value_ticks(values: Sequence[float]) -> tuple[tuple[float, str], ...]:
    """Return a mark for each value where they are few."""
    every = sorted(set(values))
    if len(every) <= _MOST_TICKS:
        return tuple((value, written(value, 0)) for value in every)
    return round_ticks(every[0], every[-1])


def _power_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    factors = (1.0, 3.0) if high - low < 3 else (1.0,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    found = [(n + math.log10(factor), factor * 10.0**n) for n in powers for factor in factors]
    return tuple((place, _with_prefix(value)) for place, value in found if low <= place <= high)


def _with_prefix(value: float) -> str:
    for size, prefix in _PREFIXES:
        if value >= size:
            return f"{written(value / size, 0)} {prefix}"
    return written(value, 0 if value >= 1 else 1)
