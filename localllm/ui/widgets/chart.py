"""A chart: says what is under the pointer, can be read with the arrow keys, and can be saved as a picture."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from PySide6.QtCore import QBuffer, QEvent, QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QFrame, QToolTip, QVBoxLayout

from localllm.ui.announce import announce
from localllm.ui.jobs import Reactions
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.chart_canvas import Canvas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QPaintDevice

    from localllm.ui.jobs import JobRunner
    from localllm.ui.theme import Theme
    from localllm.ui.widgets.chart_canvas import Place

Mark = TypeVar("Mark")
HEIGHT = 250
_NEAR = 16.0  # pixels within which the pointer is at a mark
_SCALE = 2  # pixels of a saved picture for each one of the screen
_KEYS = {Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1}


class Chart(QFrame, Generic[Mark]):
    """Shows marks, one of which may be chosen; pyqtgraph is loaded for the first ones, or by `prepare`.

    What is drawn, and what a mark's place and words are, is the business of `_draw_marks`, `_draw_current`,
    `_place`, `_tip` and `_put_words`.

    Signals:
        chosen: A mark was clicked or reached with the arrow keys. arg: the mark.
        failed: The plot cannot be drawn. arg: the exception.
    """

    chosen = Signal(object)
    failed = Signal(object)

    def __init__(self, theme: Theme, jobs: JobRunner, name: str) -> None:
        super().__init__()
        self._theme, self._jobs = theme, jobs
        self._plot: Any = None
        self._canvas: Canvas | None = None
        self._loading = False
        self.marks: Sequence[Mark] = ()
        self.current: Mark | None = None
        self.setProperty("chart", True)  # noqa: FBT003 - Qt's own signature
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumHeight(HEIGHT)
        self.setAccessibleName(name)
        self._waiting = make_label(self.tr("The chart is being drawn…"), "muted")
        self._waiting.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self._waiting)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._on_drawn)
        theme.changed.connect(self._draw)

    def _draw_marks(self, canvas: Canvas) -> None:
        """Draw all marks."""
        raise NotImplementedError

    def _draw_current(self, canvas: Canvas) -> None:
        """Draw what tells the chosen mark from the others; it is called whenever that is another one."""
        raise NotImplementedError

    def _put_words(self, canvas: Canvas) -> None:
        """Put words where there is room; it is called for each new size."""
        raise NotImplementedError

    def _place(self, mark: Mark) -> Place:
        raise NotImplementedError

    def _tip(self, mark: Mark) -> str:
        """Return everything about a mark."""
        raise NotImplementedError

    def _distance(self, mark: Mark, place: QPointF) -> float:
        """Return how far the pointer is from a mark, in pixels."""
        apart = self.place_of(mark) - place
        return math.hypot(apart.x(), apart.y())

    @property
    def ready(self) -> bool:
        """Whether there is a plot."""
        return self._plot is not None

    @property
    def canvas(self) -> Canvas:
        """What it is drawn on.

        Raises:
            RuntimeError: There is no plot yet.
        """
        if self._canvas is None:
            raise RuntimeError("the chart is not ready")
        return self._canvas

    def prepare(self) -> None:
        """Make the plot, which takes a moment, before there is anything to draw."""
        if self._plot is None and not self._loading:
            self._loading = True
            reactions = Reactions(succeeded=self._on_loaded, failed=self.failed.emit)
            self._jobs.run(lambda _progress: importlib.import_module("pyqtgraph"), reactions)

    def show_marks(self, marks: Sequence[Mark], current: Mark | None, summary: str) -> None:
        """Draw other marks; `summary` is what a screen reader says of all of them."""
        self.marks, self.current = marks, current
        self.setAccessibleDescription(summary)
        if self._plot is not None:
            self._draw()
        elif marks:
            self.prepare()

    def mark(self, mark: Mark | None) -> None:
        """Choose a mark, or none."""
        if mark != self.current:
            self.current = mark
            if self._canvas is not None:
                self._draw_current(self._canvas)

    def place_of(self, mark: Mark) -> QPointF:
        """Return where a mark is, in pixels of this widget."""
        scene = self._plot.plotItem.vb.mapViewToScene(QPointF(*self._place(mark)))
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
        return QSize(460, max(self.minimumHeight(), HEIGHT + 40))

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
        """Go to the next mark, and say what it is."""
        step = _KEYS.get(Qt.Key(event.key()))
        if step is None or not self.marks:
            super().keyPressEvent(event)
            return
        at = self.marks.index(self.current) + step if self.current in self.marks else 0
        mark = self.marks[max(0, min(len(self.marks) - 1, at))]
        self._choose(mark)
        if self._plot is not None:
            QToolTip.showText(self.mapToGlobal(self.place_of(mark).toPoint()), self._tip(mark), self)
        announce(self, self._tip(mark))

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Draw the frame of what has the focus."""
        super().focusInEvent(event)
        self.update()

    def _on_loaded(self, module: Any) -> None:
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
        self._plot, self._canvas = plot, Canvas(module, plot, self._theme, self.font())
        layout = self.layout()
        if layout is not None:
            layout.addWidget(plot)
        self._draw()

    def _on_drawn(self) -> None:
        self._plot.setUpdatesEnabled(True)

    def _on_resized(self) -> None:
        if self._canvas is not None and self.marks:
            self._put_words(self._canvas)
            self._canvas.arranged()

    def _draw(self) -> None:
        canvas = self._canvas
        if canvas is None:
            return
        self._plot.setUpdatesEnabled(False)  # painted in a turn of its own: both take some 25 ms
        self._soon.start()
        canvas.begin(self.font())
        if self.marks:
            self._draw_marks(canvas)
            self._draw_current(canvas)
            self._put_words(canvas)
        canvas.end()

    def _paint(self, device: QPaintDevice, target: QRectF) -> None:
        painter = QPainter(device)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._plot.render(painter, target, self._plot.rect())
        painter.end()

    def _choose(self, mark: Mark) -> None:
        self.mark(mark)
        self.chosen.emit(mark)

    def _near(self, place: QPointF) -> Mark | None:
        if self._plot is None or not self.marks:
            return None
        far = [self._distance(mark, place) for mark in self.marks]
        nearest = min(range(len(far)), key=far.__getitem__)
        return self.marks[nearest] if far[nearest] <= _NEAR else None

    def _show_tip(self, place: QPointF) -> None:
        mark = self._near(place)
        self.setCursor(Qt.CursorShape.ArrowCursor if mark is None else Qt.CursorShape.PointingHandCursor)
        if mark is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(self.mapToGlobal(place.toPoint()), self._tip(mark), self)
