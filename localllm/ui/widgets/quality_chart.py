"""Size, speed and divergence of one model's files as dots."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QRectF

from localllm.texts import GIB, MIB, text
from localllm.ui.translation import say
from localllm.ui.widgets.chart import Chart
from localllm.ui.widgets.chart_canvas import Axis, Dot, round_ticks, written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.evaluate import ChartPoint
    from localllm.ui.jobs import JobRunner
    from localllm.ui.theme import Theme
    from localllm.ui.widgets.chart_canvas import Canvas, Place

Across = Literal["size", "speed"]
_SMALLEST_DOT, _LARGEST_DOT = 9.0, 19.0  # pixels
_APART = 1.0  # pixels between a dot and its name
_SIDES = (
    (False, 0.95),
    (False, 0.05),
    (True, 0.95),
    (True, 0.05),
    (False, 0.5),
    (True, 0.5),
)  # left?, how high


class QualityChart(Chart["ChartPoint"]):
    """Divergence upwards, in powers of ten, over size or speed; the dots' size is the other one."""

    def __init__(self, theme: Theme, jobs: JobRunner) -> None:
        super().__init__(theme, jobs, "")
        self.setAccessibleName(self.tr("Divergence over size and speed"))
        self._across: Across = "size"
        self._words_of: Callable[[ChartPoint], str] = lambda point: point.name
        self._floor = 0.0
        self._sizes: list[float] = []

    def show_points(
        self, points: Sequence[ChartPoint], across: Across, tip: Callable[[ChartPoint], str]
    ) -> None:
        """Draw these; `tip` says everything about one."""
        self._across, self._words_of = across, tip
        known = [point for point in points if across == "size" or point.speed]
        marks = sorted(known, key=lambda point: _across(point, across))
        self._floor = _floor([point.divergence for point in marks])
        self._sizes = _dot_sizes(marks, across) if marks else []
        current = self.current if self.current in marks else None
        self.show_marks(marks, current, "\n".join(tip(point) for point in marks))

    def _place(self, mark: ChartPoint) -> Place:
        return _across(mark, self._across), math.log10(max(mark.divergence, self._floor))

    def _tip(self, mark: ChartPoint) -> str:
        return self._words_of(mark)

    def _draw_marks(self, canvas: Canvas) -> None:
        self._show_axes(canvas)
        front = self._front()
        if len(front) > 1:
            canvas.curve("front", front, "accent", 1.5, dashed=True)
        self._draw_errors(canvas)
        for point in self.marks:
            token = "text" if point.on_front else "muted"
            canvas.write(point.quant or point.name, token, self._place(point))

    def _show_axes(self, canvas: Canvas) -> None:
        places = [self._place(point) for point in self.marks]
        xs, ys = [x for x, _ in places], [y for _, y in places]
        width, height = (max(xs) - min(xs)) or max(xs) or 1.0, (max(ys) - min(ys)) or 1.0
        low, high = min(xs) - 0.08 * width, max(xs) + 0.14 * width
        bottom, top = min(ys) - 0.09 * height, max(ys) + 0.14 * height
        has_zero = any(point.divergence <= 0 for point in self.marks)
        unit, ticks = _ticks_across(self._across, max(0.0, low), high)
        up = _ticks_up(bottom, top, self._floor, zero=has_zero)
        title = self.tr("Divergence from the reference")
        canvas.axes(Axis(unit, low, high, ticks), Axis(title, bottom, top, up), grid="beside")

    def _front(self) -> list[Place]:
        """Return those that nothing is better than, in the two facts that the axes show."""
        points = reversed(self.marks) if self._across == "speed" else self.marks
        found: list[Place] = []
        for point in points:
            place = self._place(point)
            if point.on_front and (not found or place[1] < found[-1][1]):
                found.append(place)
        return found

    def _draw_errors(self, canvas: Canvas) -> None:
        known = [point for point in self.marks if point.error > 0 and point.divergence > 0]
        if not known:
            return
        places = [self._place(point) for point in known]
        above = [point.divergence + point.error for point in known]
        below = [max(point.divergence - point.error, self._floor / 2) for point in known]
        canvas.errors(
            "errors",
            places,
            "muted",
            top=[math.log10(value) - y for value, (_, y) in zip(above, places, strict=True)],
            bottom=[y - math.log10(value) for value, (_, y) in zip(below, places, strict=True)],
        )

    def _draw_current(self, canvas: Canvas) -> None:
        """Draw the dots, the chosen one larger and with a thicker edge."""
        dots: list[Dot] = []
        for point, size in zip(self.marks, self._sizes, strict=True):
            symbol = "d" if point.is_base else "o"
            edge, inside = ("accent", "accent") if point.on_front else ("muted", "surface")
            if point == self.current:
                dots.append(Dot(self._place(point), size + 3, symbol, "text", inside, 3))
            else:
                dots.append(Dot(self._place(point), size, symbol, edge, inside, 1.6))
        canvas.dots("dots", dots)

    def _put_words(self, canvas: Canvas) -> None:
        """Put each name at the side of its dot where it covers least of what is there already."""
        spots = [canvas.spot_of(one.place) for one in canvas.words]
        taken = [
            QRectF(spot.x() - size / 2, spot.y() - size / 2, size, size)
            for spot, size in zip(spots, self._sizes, strict=True)
        ]
        for one, spot, size in zip(canvas.words, spots, self._sizes, strict=True):
            apart, (width, height) = size / 2 + _APART, one.size
            areas = [
                QRectF(spot.x() - (width + apart if left else -apart), spot.y() - up * height, width, height)
                for left, up in _SIDES
            ]
            one.area = min(areas, key=lambda area: _covered(area, taken, canvas.inside))
            taken.append(one.area)


def _across(point: ChartPoint, across: Across) -> float:
    return float(point.size) if across == "size" else point.speed or 0.0


def _floor(divergences: Sequence[float]) -> float:
    """Return where the reference is drawn, for whose 0 a scale of powers has no place."""
    above = [value for value in divergences if value > 0]
    return min(above) / 5 if above else 1e-4


def _covered(area: QRectF, taken: Sequence[QRectF], inside: QRectF) -> float:
    """Return how many square pixels of an area are taken, those outside the plot too."""
    covered = sum(_size(area.intersected(other)) for other in taken)
    return covered + _size(area) - _size(area.intersected(inside))


def _size(area: QRectF) -> float:
    return max(0.0, area.width()) * max(0.0, area.height())


def _dot_sizes(points: Sequence[ChartPoint], across: Across) -> list[float]:
    """Return diameters: the larger the faster, or over speed the larger the file; unknown ones are small."""
    facts = [(point.speed or 0.0) if across == "size" else float(point.size) for point in points]
    low, high = min(facts), max(facts)
    share = [(fact - low) / (high - low) if high > low else 0.4 for fact in facts]
    return [_SMALLEST_DOT + (_LARGEST_DOT - _SMALLEST_DOT) * one for one in share]


def _ticks_across(across: Across, low: float, high: float) -> tuple[str, tuple[tuple[float, str], ...]]:
    """Return the axis' name and its marks, with round numbers."""
    if across == "speed":
        return say(text("Answer, tokens/s")), round_ticks(low, high)
    unit = float(GIB if high >= GIB else MIB)
    name = text("File, GiB") if high >= GIB else text("File, MiB")
    return say(name), round_ticks(low, high, unit)


def _ticks_up(bottom: float, top: float, floor: float, *, zero: bool) -> tuple[tuple[float, str], ...]:
    """Return the powers of ten, with twos and fives between them where they are few; 0 for the reference."""
    lowest = math.log10(floor)
    powers = range(math.floor(bottom), math.ceil(top) + 1)
    factors = (1.0, 2.0, 5.0) if top - bottom < 2.5 else (1.0,)
    found = [(n + math.log10(f), written(f * 10.0**n, max(0, -n))) for n in powers for f in factors]
    ticks = tuple((place, name) for place, name in found if (lowest + 0.2 if zero else bottom) < place < top)
    return ((lowest, "0"), *ticks) if zero else ticks
