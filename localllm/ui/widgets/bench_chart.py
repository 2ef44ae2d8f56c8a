"""A chart of benches: shows what is under the pointer, can be read with the arrow keys, and saved."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QBuffer, QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QFrame, QToolTip, QVBoxLayout

from localllm.ui.jobs import Reactions
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.bench_picture import Drawing, Mark, Picture

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintDevice

    from localllm.core.bench import BenchRow
    from localllm.ui.jobs import JobRunner
    from localllm.ui.theme import Theme

_NEAR = 18.0  # pixels within which the pointer is at a mark
_HEIGHT = 250
_BAR_HEIGHT = 27
_AXIS_HEIGHT = 64
_MOST_BARS = 40  # that are given their full height
_SCALE = 2  # pixels of a saved picture for each one of the screen
_KEYS = {Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1}


class BenchChart(QFrame):
    """Draws a `Picture`; pyqtgraph is loaded for the first one, or by `prepare`.

    Signals:
        chosen: A mark was clicked or reached with the arrow keys. arg: `BenchRow`.
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
        self._drawing: Drawing | None = None
        self._current: Mark | None = None
        self.picture = Picture("bars")
        self.setProperty("chart", True)  # noqa: FBT003 - Qt's own signature
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumHeight(_HEIGHT)
        self.setAccessibleName(self.tr("Chart of the speeds"))
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

    @property
    def current(self) -> BenchRow | None:
        """The row that is marked."""
        return self._current.row if self._current is not None else None

    def show_picture(self, picture: Picture) -> None:
        """Draw another picture; what was marked stays so."""
        row = self.current
        self.picture = picture
        self._current = next((mark for mark in picture.marks if mark.row is row), None)
        bars = len(picture.marks) if picture.view == "bars" else 0
        self.setMinimumHeight(max(_HEIGHT, min(bars, _MOST_BARS) * _BAR_HEIGHT + _AXIS_HEIGHT))
        self.setAccessibleDescription("\n\n".join(mark.tip for mark in picture.marks))
        if self._plot is not None:
            self._draw()
        elif picture.marks:
            self.prepare()

    def prepare(self) -> None:
        """Make the plot, which takes a moment, before there is anything to draw."""
        if self._plot is None and not self._loading:
            self._loading = True
            reactions = Reactions(succeeded=self._on_loaded, failed=self.failed.emit)
            self._jobs.run(lambda _progress: importlib.import_module("pyqtgraph"), reactions)

    def mark(self, row: BenchRow | None) -> None:
        """Draw a ring around a row's mark."""
        if row is not self.current:
            self._current = next((mark for mark in self.picture.marks if mark.row is row), None)
            self._draw()

    def place_of(self, mark: Mark) -> QPointF:
        """Return where a mark is, in pixels of this widget."""
        if self._drawing is None:
            return QPointF()
        scene = self._plot.plotItem.vb.mapViewToScene(QPointF(*self._drawing.place_of(mark)))
        return QPointF(self._plot.mapTo(self, self._plot.mapFromScene(scene)))

    def image(self) -> QImage:
        """Return the chart, sharp enough for a document."""
        image = QImage(self._plot.size() * _SCALE, QImage.Format.Format_ARGB32)
        image.fill(self._theme.token("surface"))
        self._paint(image, QRectF(image.rect()))
        return image

    def png(self) -> bytes:
        """Return the chart as a PNG file."""
        buffer = QBuffer()
        self.image().save(buffer, "PNG")  # pyright: ignore[reportCallIssue, reportArgumentType]
        return bytes(buffer.data().data())

    def svg(self) -> bytes:
        """Return the chart as an SVG file."""
        from PySide6.QtSvg import QSvgGenerator

        buffer = QBuffer()
        generator = QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(self._plot.size())
        generator.setViewBox(self._plot.rect())
        self._paint(generator, QRectF(self._plot.rect()))
        return bytes(buffer.data().data())

    def sizeHint(self) -> QSize:
        """Ask for room to tell marks apart."""
        return QSize(460, max(self.minimumHeight(), _HEIGHT + 30))

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
        mark = self._near(event.position())
        if mark is not None:
            self._choose(mark)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to the next mark."""
        step = _KEYS.get(Qt.Key(event.key()))
        marks = self.picture.marks
        if step is None or not marks:
            super().keyPressEvent(event)
            return
        at = marks.index(self._current) + step if self._current is not None else 0
        self._choose(marks[max(0, min(len(marks) - 1, at))])

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
        plot.plotItem.vb.sigResized.connect(self._on_resized)
        self._waiting.hide()
        self._plot = plot
        layout = self.layout()
        if layout is not None:
            layout.addWidget(plot)
        self._draw()

    def _on_resized(self) -> None:
        if self._drawing is not None:
            self._drawing.place_names()

    def _draw(self) -> None:
        if self._plot is not None:
            self._drawing = Drawing(self._pg, self._plot, self._theme, self.font(), self.picture)
            self._drawing.draw(self._current)

    def _paint(self, device: QPaintDevice, target: QRectF) -> None:
        painter = QPainter(device)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._plot.render(painter, target, self._plot.rect())
        painter.end()

    def _choose(self, mark: Mark) -> None:
        self._current = mark
        self._draw()
        self.chosen.emit(mark.row)

    def _near(self, place: QPointF) -> Mark | None:
        marks = self.picture.marks
        if self._drawing is None or not marks:
            return None
        if self.picture.view == "bars":
            mark = min(marks, key=lambda one: abs(self.place_of(one).y() - place.y()))
            return mark if abs(self.place_of(mark).y() - place.y()) <= _NEAR else None
        far = [math.hypot(*(self.place_of(mark) - place).toTuple()) for mark in marks]
        nearest = min(range(len(marks)), key=far.__getitem__)
        return marks[nearest] if far[nearest] <= _NEAR else None

    def _show_tip(self, place: QPointF) -> None:
        mark = self._near(place)
        self.setCursor(Qt.CursorShape.ArrowCursor if mark is None else Qt.CursorShape.PointingHandCursor)
        if mark is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(self.mapToGlobal(place.toPoint()), mark.tip, self)
