"""A chart of benches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QSizePolicy

from localllm.ui.itemmodels.bench import speed_of
from localllm.ui.translation import say
from localllm.ui.widgets.bench_picture import Mark, Picture, draw, put_words
from localllm.ui.widgets.chart import HEIGHT, Chart
from localllm.ui.widgets.chart_canvas import Dot

if TYPE_CHECKING:
    from PySide6.QtCore import QPointF

    from localllm.core.bench import BenchRow
    from localllm.ui.jobs import JobRunner
    from localllm.ui.theme import Theme
    from localllm.ui.widgets.chart_canvas import Canvas, Place

_BAR_HEIGHT = 27
_AXIS_HEIGHT = 64
_MOST_BARS = 40  # that are given their full height


class BenchChart(Chart[Mark]):
    """Draws a `Picture`."""

    def __init__(self, theme: Theme, jobs: JobRunner) -> None:
        super().__init__(theme, jobs, "")
        self.setAccessibleName(self.tr("Chart of the speeds"))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.picture = Picture("bars")
        theme.changed.connect(self._show_height)

    def show_picture(self, picture: Picture) -> None:
        """Draw another picture; what was chosen stays so."""
        row = self.current.row if self.current else None
        self.picture = picture
        self._show_height()
        summary = "\n".join(f"{mark.row.test}: {say(speed_of(mark.row))}" for mark in picture.marks)
        self.show_marks(picture.marks, self._mark_of(row), summary)

    def mark_row(self, row: BenchRow | None) -> None:
        """Choose a row's mark."""
        self.mark(self._mark_of(row))

    def _show_height(self) -> None:
        """Be as high as the bars need, in any size of text."""
        bars = len(self.picture.marks) if self.picture.view == "bars" else 0
        height = max(HEIGHT, min(bars, _MOST_BARS) * _BAR_HEIGHT + _AXIS_HEIGHT)
        self.setMinimumHeight(self._theme.scaled(height))

    def _mark_of(self, row: BenchRow | None) -> Mark | None:
        return next((mark for mark in self.picture.marks if mark.row is row), None)

    def _draw_marks(self, canvas: Canvas) -> None:
        draw(canvas, self.picture)

    def _draw_current(self, canvas: Canvas) -> None:
        """Draw a ring around the chosen mark."""
        mark = self.current
        canvas.dots("ring", [Dot(self._place(mark), 15, "o", "text", width=2)] if mark else [])

    def _put_words(self, canvas: Canvas) -> None:
        put_words(canvas, self.picture)

    def _place(self, mark: Mark) -> Place:
        return self.picture.place_of(mark)

    def _tip(self, mark: Mark) -> str:
        return mark.tip

    def _distance(self, mark: Mark, place: QPointF) -> float:
        """Return how far the pointer is; a bar is as near as its line."""
        if self.picture.view == "bars":
            return abs(self.place_of(mark).y() - place.y())
        return super()._distance(mark, place)
