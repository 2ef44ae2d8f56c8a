"""Size, speed and divergence of one model's files as dots; pyqtgraph is loaded when the first dots come."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any, Literal

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QHelpEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QFrame, QToolTip, QVBoxLayout

from localllm.texts import GIB, MIB, Number, text
from localllm.ui.jobs import Reactions
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.evaluate import ChartPoint
    from localllm.ui.jobs import JobRunner
    from localllm.ui.theme import Theme

Across = Literal["size", "speed"]
_SMALLEST_DOT, _LARGEST_DOT = 9.0, 19.0  # pixels
_NEAR = 14.0  # pixels within which the pointer is at a dot
_STEPS = (1.0, 2.0, 5.0, 10.0)
_HEIGHT = 250
_APART = 1.0  # pixels between a dot and its name
_SIDES = (
    (False, 0.95),
    (False, 0.05),
    (True, 0.95),
    (True, 0.05),
    (False, 0.5),
    (True, 0.5),
)  # left?, how high
_KEYS = {Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1}


class QualityChart(QFrame):
    """Divergence upwards, on a scale of powers of ten, over size or speed; the dots' size is the other one.

    Signals:
        chosen: A dot was clicked or reached with the arrow keys. arg: `ChartPoint`.
        failed: The plot cannot be drawn. arg: the exception.
    """

    chosen = Signal(object)
    failed = Signal(object)

    def __init__(self, theme: Theme, jobs: JobRunner) -> None:
        super().__init__()
        self._theme, self._jobs = theme, jobs
        self._pg: Any = None
        self._plot: Any = None
        self._loading = False
        self._points: list[ChartPoint] = []
        self._across: Across = "size"
        self._tip: Callable[[ChartPoint], str] = lambda point: point.name
        self._current: ChartPoint | None = None
        self._places: list[tuple[float, float]] = []
        self._sizes: list[float] = []
        self._names: list[Any] = []
        self._dots: Any = None
        self.setProperty("chart", True)  # noqa: FBT003 - Qt's own signature
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumHeight(_HEIGHT)
        self.setAccessibleName(self.tr("Divergence over size and speed"))
        self._waiting = make_label(self.tr("The chart is being drawn…"), "muted")
        self._waiting.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self._waiting)
        theme.changed.connect(self._draw)

    @property
    def ready(self) -> bool:
        """Whether there is a plot."""
        return self._plot is not None

    def show_points(
        self, points: Sequence[ChartPoint], across: Across, tip: Callable[[ChartPoint], str]
    ) -> None:
        """Draw these; `tip` says everything about one."""
        known = [point for point in points if across == "size" or point.speed]
        self._points = sorted(known, key=lambda point: _across(point, across))
        self._across, self._tip = across, tip
        if self._current not in self._points:
            self._current = None
        self.setAccessibleDescription("\n".join(tip(point) for point in self._points))
        if self._plot is not None:
            self._draw()
        elif self._points and not self._loading:
            self._loading = True
            reactions = Reactions(succeeded=self._on_loaded, failed=self.failed.emit)
            self._jobs.run(lambda _progress: importlib.import_module("pyqtgraph"), reactions)

    def mark(self, point: ChartPoint | None) -> None:
        """Draw a ring around one."""
        if point != self._current:
            self._current = point
            if self._dots is not None:
                self._draw_dots()

    def place_of(self, point: ChartPoint) -> QPointF:
        """Return where a dot is, in pixels of this widget."""
        x, y = self._places[self._points.index(point)]
        scene = self._plot.plotItem.vb.mapViewToScene(QPointF(x, y))
        return QPointF(self._plot.mapTo(self, self._plot.mapFromScene(scene)))

    def sizeHint(self) -> QSize:
        """Ask for room to tell dots apart."""
        return QSize(460, _HEIGHT + 50)

    def event(self, event: QEvent) -> bool:
        """Say what is under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            self._show_tip(QPointF(event.pos()))
            return True
        return super().event(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say at once what is under the pointer."""
        self._show_tip(event.position())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose what was clicked."""
        point = self._near(event.position())
        if point is not None:
            self._choose(point)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to the next dot."""
        step = _KEYS.get(Qt.Key(event.key()))
        if step is None or not self._points:
            super().keyPressEvent(event)
            return
        at = self._points.index(self._current) + step if self._current is not None else 0
        self._choose(self._points[max(0, min(len(self._points) - 1, at))])

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Draw the frame of what has the focus."""
        super().focusInEvent(event)
        self.update()

    def _on_loaded(self, module: Any) -> None:
        self._pg = module
        plot = module.PlotWidget(self, enableMenu=False)
        plot.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        for part in (plot, plot.viewport()):
            part.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        plot.setFrameShape(QFrame.Shape.NoFrame)
        plot.setAccessibleName(self.accessibleName())
        plot.setMouseEnabled(x=False, y=False)
        plot.hideButtons()
        plot.plotItem.vb.sigResized.connect(self._place_names)
        self._waiting.hide()
        self._plot = plot
        layout = self.layout()
        if layout is not None:
            layout.addWidget(plot)
        self._draw()

    def _choose(self, point: ChartPoint) -> None:
        self.mark(point)
        self.chosen.emit(point)

    def _near(self, place: QPointF) -> ChartPoint | None:
        if self._plot is None or not self._places:
            return None
        far = [(_distance(self.place_of(point), place), number) for number, point in enumerate(self._points)]
        distance, number = min(far)
        return self._points[number] if distance <= _NEAR else None

    def _show_tip(self, place: QPointF) -> None:
        point = self._near(place)
        self.setCursor(Qt.CursorShape.ArrowCursor if point is None else Qt.CursorShape.PointingHandCursor)
        if point is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(self.mapToGlobal(place.toPoint()), self._tip(point), self)

    def _draw(self) -> None:
        if self._plot is None:
            return
        item = self._plot.plotItem
        item.clear()
        self._plot.setBackground(self._theme.token("surface"))
        self._places, self._names, self._dots = [], [], None
        if not self._points:
            return
        floor = _floor([point.divergence for point in self._points])
        self._places = [
            (_across(point, self._across), math.log10(max(point.divergence, floor))) for point in self._points
        ]
        self._show_axes(floor)
        self._draw_front()
        self._draw_errors(floor)
        self._sizes = _dot_sizes(self._points, self._across)
        self._dots = self._pg.ScatterPlotItem(antialias=True)
        item.addItem(self._dots)
        self._draw_dots()
        self._draw_names()

    def _show_axes(self, floor: float) -> None:
        item = self._plot.plotItem
        xs, ys = [x for x, _ in self._places], [y for _, y in self._places]
        width, height = (max(xs) - min(xs)) or max(xs) or 1.0, (max(ys) - min(ys)) or 1.0
        low, high = min(xs) - 0.08 * width, max(xs) + 0.14 * width
        bottom, top = min(ys) - 0.09 * height, max(ys) + 0.14 * height
        item.setRange(xRange=(low, high), yRange=(bottom, top), padding=0, disableAutoRange=True)
        has_zero = any(point.divergence <= 0 for point in self._points)
        unit, ticks = _ticks_across(self._across, max(0.0, low), high)
        names = {"bottom": unit, "left": self.tr("Divergence from the reference")}
        for side, marks in (("bottom", ticks), ("left", _ticks_up(bottom, top, floor, zero=has_zero))):
            axis = item.getAxis(side)
            axis.setTicks([marks])
            axis.setPen(self._pg.mkPen(self._theme.token("border_strong")))
            axis.setTextPen(self._pg.mkPen(self._theme.token("muted")))
            axis.setTickFont(self.font())
            axis.setStyle(tickLength=-4, hideOverlappingLabels=True)
            axis.setLabel(names[side], color=self._theme.token("muted").name())
            axis.label.setFont(self.font())
        item.showGrid(x=False, y=True, alpha=0.12)

    def _draw_front(self) -> None:
        """Join those that nothing is better than, in the two facts that the axes show."""
        places = self._front_places()
        if len(places) > 1:
            pen = self._pg.mkPen(self._theme.token("accent"), width=1.5, style=Qt.PenStyle.DashLine)
            self._plot.plotItem.addItem(
                self._pg.PlotCurveItem(
                    [x for x, _ in places], [y for _, y in places], pen=pen, antialias=True
                )
            )

    def _front_places(self) -> list[tuple[float, float]]:
        order = list(zip(self._points, self._places, strict=True))
        if self._across == "speed":
            order.reverse()
        found: list[tuple[float, float]] = []
        for point, place in order:
            if point.on_front and (not found or place[1] < found[-1][1]):
                found.append(place)
        return found

    def _draw_errors(self, floor: float) -> None:
        known = [
            (point, *place)
            for point, place in zip(self._points, self._places, strict=True)
            if point.error > 0 and point.divergence > 0
        ]
        if not known:
            return
        bars = self._pg.ErrorBarItem(
            x=_array([x for _, x, _ in known]),
            y=_array([y for _, _, y in known]),
            top=_array([math.log10(point.divergence + point.error) - y for point, _, y in known]),
            bottom=_array(
                [y - math.log10(max(point.divergence - point.error, floor / 2)) for point, _, y in known]
            ),
            pen=self._pg.mkPen(self._theme.token("muted"), width=1),
        )
        self._plot.plotItem.addItem(bars)

    def _draw_dots(self) -> None:
        theme, pg = self._theme, self._pg
        spots: list[dict[str, Any]] = []
        for point, place, size in zip(self._points, self._places, self._sizes, strict=True):
            marked = point == self._current
            edge = "text" if marked else ("accent" if point.on_front else "muted")
            spots.append(
                {
                    "pos": place,
                    "size": size + (3 if marked else 0),
                    "symbol": "d" if point.is_base else "o",
                    "brush": pg.mkBrush(theme.token("accent" if point.on_front else "surface")),
                    "pen": pg.mkPen(theme.token(edge), width=3 if marked else 1.6),
                }
            )
        self._dots.setData(spots=spots)

    def _draw_names(self) -> None:
        self._names = []
        for point in self._points:
            token = "text" if point.on_front else "muted"
            name = self._pg.TextItem(point.quant or point.name, color=self._theme.token(token))
            name.setFont(self.font())
            name.textItem.document().setDocumentMargin(1)
            self._plot.plotItem.addItem(name)
            self._names.append(name)
        self._place_names()

    def _place_names(self) -> None:
        """Put each name at the side of its dot where it covers least of what is there already."""
        if self._plot is None or len(self._names) != len(self._places):
            return
        view = self._plot.plotItem.vb
        spots = [view.mapViewToScene(QPointF(x, y)) for x, y in self._places]
        taken = [
            QRectF(spot.x() - size / 2, spot.y() - size / 2, size, size)
            for spot, size in zip(spots, self._sizes, strict=True)
        ]
        inside = view.sceneBoundingRect()
        dots = zip(self._names, spots, self._places, self._sizes, strict=True)
        for name, spot, (x, y), size in dots:
            apart = size / 2 + _APART
            words = name.textItem.boundingRect()
            width, height = words.width(), words.height()
            areas = [
                QRectF(spot.x() - (width + apart if left else -apart), spot.y() - up * height, width, height)
                for left, up in _SIDES
            ]
            best = min(range(len(_SIDES)), key=lambda n: (_covered(areas[n], taken, inside), n))
            taken.append(areas[best])
            left, up = _SIDES[best]
            name.setAnchor(self._pg.Point(1 + apart / width if left else -apart / width, up))
            name.setPos(x, y)


def _array(values: list[float]) -> Any:
    import numpy as np

    return np.array(values)


def _across(point: ChartPoint, across: Across) -> float:
    return float(point.size) if across == "size" else point.speed or 0.0


def _distance(one: QPointF, other: QPointF) -> float:
    return math.hypot(one.x() - other.x(), one.y() - other.y())


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


def _ticks_across(across: Across, low: float, high: float) -> tuple[str, list[tuple[float, str]]]:
    """Return the axis' name and its marks, with round numbers."""
    if across == "speed":
        return say(text("Answer, tokens/s")), _round_ticks(low, high, 1.0)
    unit = float(GIB if high >= GIB else MIB)
    name = text("File, GiB") if high >= GIB else text("File, MiB")
    return say(name), _round_ticks(low, high, unit)


def _round_ticks(low: float, high: float, unit: float) -> list[tuple[float, str]]:
    rough = (high - low) / unit / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in _STEPS if step * power >= rough)
    decimals = max(0, -math.floor(math.log10(step)))
    first = math.ceil(low / unit / step)
    last = math.floor(high / unit / step)
    return [(n * step * unit, _number(n * step, decimals)) for n in range(first, last + 1)]


def _ticks_up(bottom: float, top: float, floor: float, *, zero: bool) -> list[tuple[float, str]]:
    """Return the powers of ten, with twos and fives between them where they are few; 0 for the reference."""
    lowest = math.log10(floor)
    powers = range(math.floor(bottom), math.ceil(top) + 1)
    factors = (1.0, 2.0, 5.0) if top - bottom < 2.5 else (1.0,)
    found = [(n + math.log10(f), _number(f * 10.0**n, max(0, -n))) for n in powers for f in factors]
    ticks = [(place, name) for place, name in found if (lowest + 0.2 if zero else bottom) < place < top]
    return [(lowest, "0"), *ticks] if zero else ticks


def _number(value: float, decimals: int) -> str:
    return say(text("{value}", value=Number(value, decimals)))
