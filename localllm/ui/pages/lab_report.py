"""What was measured: a chart and a table of all that can be compared, and what the figures of one mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QVBoxLayout,
    QWidget,
)

from localllm.texts import Bytes, Number, text
from localllm.ui.itemmodels.quality import MeasuredTable, name_of, speed_of
from localllm.ui.pages.lab_copies import as_csv, as_markdown, title_of
from localllm.ui.translation import say
from localllm.ui.widgets.basics import empty_layout, make_button, make_card, make_label, make_link
from localllm.ui.widgets.patient import PatientComboBox
from localllm.ui.widgets.quality_chart import Across, QualityChart
from localllm.ui.widgets.record_view import RecordView
from localllm.ui.widgets.result_menus import ResultMenus
from localllm.ui.widgets.turning_row import TurningRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.evaluate import ChartPoint, Group, Row
    from localllm.texts import Text
    from localllm.ui.jobs import JobRunner
    from localllm.ui.pages.lab_quality_queries import Findings
    from localllm.ui.theme import Theme

_BESIDE = 1040  # pixels from which the table has room beside the chart
_LEAST_LINES, _MOST_LINES = 2, 9


class QualityReport(QWidget):
    """Shows groups of results, one at a time.

    Signals:
        use_asked: A measured model is to be used. arg: `Row`.
        clear_asked: The predictions that are kept of references are to go.
        said: arg: a passing sentence.
        failed: A file cannot be written, or the chart not be drawn. arg: the exception.
    """

    use_asked = Signal(object)
    clear_asked = Signal()
    said = Signal(str)
    failed = Signal(object)

    def __init__(self, theme: Theme, jobs: JobRunner) -> None:
        super().__init__()
        self._findings: Findings | None = None
        self._group: Group | None = None
        self.chart = QualityChart(theme, jobs)
        self.table = RecordView(self.tr("What was measured"))
        self.menus = ResultMenus(
            self.chart,
            {
                "md": (self.tr("As Markdown"), lambda: self._written(as_markdown)),
                "csv": (self.tr("As CSV"), lambda: self._written(as_csv)),
            },
        )
        self.meanings: list[tuple[str, str, str]] = []
        self._build()

    @property
    def group(self) -> Group | None:
        """What is shown."""
        return self._group

    @property
    def row(self) -> Row | None:
        """The measured model that is chosen."""
        return cast("Row | None", self.table.record)

    def show_findings(self, findings: Findings, key: str = "", path: str = "") -> None:
        """Show what was measured; with a key that group, and the model of that path in it."""
        before = self._group.key if self._group else ""
        chosen = path or (self.row.model.path if self.row else "")
        self._findings = findings
        keys = [group.key for group in findings.groups]
        wanted = next((one for one in (key, before) if one in keys), keys[0] if keys else "")
        self.groups.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self.groups.clear()
        for group in findings.groups:
            self.groups.addItem(say(title_of(group)), group.key)
        self.groups.setCurrentIndex(max(0, self.groups.findData(wanted)))
        self.groups.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        self._empty.setVisible(not findings.groups)
        self._whole.setVisible(bool(findings.groups))
        self._kept.setVisible(findings.kept > 0)
        size = text(
            "{size} of references' predictions are kept for the next comparison.", size=Bytes(findings.kept)
        )
        self._kept_words.setText(say(size))
        self._show_group(chosen)

    def show_unread(self) -> None:
        """Do not say that nothing was measured, for that is not known."""
        self._empty.hide()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        self._whole = QWidget()
        inside = QVBoxLayout(self._whole)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(10)
        inside.addLayout(self._build_head())
        inside.addWidget(self._build_parts())
        inside.addWidget(self._build_detail())
        column.addWidget(self._build_empty())
        column.addWidget(self._whole)
        column.addWidget(self._build_kept())
        self._whole.hide()
        self._empty.hide()
        self._kept.hide()

    def _build_empty(self) -> QFrame:
        self._empty = make_card("accent")
        words = make_label(
            self.tr(
                "Nothing was measured yet. A quantized model predicts the next word a little differently "
                "from the model it was made from; the divergence says by how much, on a text that both "
                "read. Tick models above, choose what they were made from, and see what each costs."
            ),
            wrap=True,
        )
        row = QHBoxLayout(self._empty)
        row.setContentsMargins(16, 12, 14, 12)
        row.addWidget(words, 1)
        return self._empty

    def _build_head(self) -> QHBoxLayout:
        self.groups = PatientComboBox()
        self.groups.setAccessibleName(self.tr("What is compared"))
        self.groups.setSizeAdjustPolicy(
            PatientComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.groups.setMinimumContentsLength(18)
        self.groups.currentIndexChanged.connect(lambda: self._show_group(""))
        self.across = PatientComboBox()
        self.across.setAccessibleName(self.tr("What the chart shows across"))
        self.across.addItem(self.tr("Over the file's size"), "size")
        self.across.addItem(self.tr("Over the speed"), "speed")
        self.across.currentIndexChanged.connect(self._show_chart)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(make_label(self.tr("Results"), "heading"))
        row.addWidget(self.groups, 1)
        row.addWidget(self.menus)
        return row

    def _build_parts(self) -> QWidget:
        panel = TurningRow(_BESIDE, 10)
        charted = self._charted = QWidget()
        column = QVBoxLayout(charted)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self._legend = make_label(role="small", wrap=True)
        column.addWidget(self.across, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.chart, 1)
        column.addWidget(self._legend)
        panel.parts.addWidget(charted, 4)
        panel.parts.addWidget(self.table, 5, Qt.AlignmentFlag.AlignTop)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.table.entered.connect(self._on_use)
        self.table.row_chosen.connect(self._show_row)
        self.chart.chosen.connect(self._on_point)
        for part in (self.chart, self.menus):
            part.failed.connect(self.failed)
        self.menus.said.connect(self.said)
        return panel

    def _build_detail(self) -> QFrame:
        self._detail = make_card()
        self._name = make_label(role="heading", wrap=True)
        self._note = make_label(role="muted", wrap=True)
        self.use = make_button(self.tr("Use this one"), primary=True)
        self.use.setToolTip(self.tr("Loads this model and opens a chat with it"))
        self.use.clicked.connect(self._on_use)
        head = QHBoxLayout()
        head.addWidget(self._name, 1)
        head.addWidget(self.use, 0, Qt.AlignmentFlag.AlignTop)
        self._figures = QGridLayout()
        self._figures.setHorizontalSpacing(14)
        self._figures.setVerticalSpacing(4)
        self._figures.setColumnStretch(2, 1)
        column = QVBoxLayout(self._detail)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self._note)
        column.addLayout(self._figures)
        return self._detail

    def _build_kept(self) -> QWidget:
        self._kept = QWidget()
        self._kept_words = make_label(role="small", wrap=True)
        free = make_link(self.tr("Free it"), name=self.tr("Remove the predictions that are kept"))
        free.clicked.connect(self.clear_asked)
        row = QHBoxLayout(self._kept)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._kept_words, 1)
        row.addWidget(free)
        return self._kept

    def _show_group(self, path: str) -> None:
        groups = self._findings.groups if self._findings else []
        key = self.groups.currentData()
        self._group = next((group for group in groups if group.key == key), None)
        self.groups.setToolTip(self.groups.currentText())
        if self._group is None:
            return
        table = MeasuredTable(self._group, self)
        self.table.show_table(table)
        self._fit_columns(table)
        self._show_chart()
        measured = [row for row in self._group.rows if row.result is not None]
        chosen = next((row for row in self._group.rows if row.model.path == path), measured[0])
        self._select(chosen)

    def _fit_columns(self, table: MeasuredTable) -> None:
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for number, column in enumerate(table.columns):
            header.resizeSection(number, self.table.width_of(column, table.records))
        self.table.show_lines(_LEAST_LINES, _MOST_LINES)

    def _show_chart(self) -> None:
        group = self._group
        across = cast("Across", self.across.currentData())
        points = group.points if group else ()
        charted = len(points) > 1
        self._charted.setVisible(charted)
        self.menus.show_chart(there=charted)
        self.across.setVisible(charted and any(point.speed for point in points))
        if group is None or not charted:
            return
        self.chart.show_points(points, across, self._tip)
        other = self.tr("The larger a dot, the faster it answers.")
        if across == "speed":
            other = self.tr("The larger a dot, the larger the file.")
        front = self.tr(
            "Filled: worth having, for no other one is as small, as fast and as true. The rhomb is the "
            "reference."
        )
        guessed = any(point.speed and not point.speed_measured for point in points)
        about = self.tr("~ stands before speeds that are predicted, not measured.") if guessed else ""
        self._legend.setText(f"{front} {other} {about}".strip())

    def _tip(self, point: ChartPoint) -> str:
        row = next(row for row in self._group.rows if row.point == point) if self._group else None
        speed = speed_of(row) if row else ""
        facts = text(
            "{name}\n{size}, {speed} tokens/s\ndivergence {value} ± {error}, same first choice {same} %",
            name=point.name,
            size=Bytes(point.size),
            speed=speed,
            value=Number(point.divergence, 4),
            error=Number(point.error, 4),
            same=Number(100 * point.same_top, 1),
        )
        worth = text("Worth having") if point.on_front else self._beaten(point)
        return say(text("{facts}\n{worth}", facts=facts, worth=worth))

    def _beaten(self, point: ChartPoint) -> Text:
        from localllm.core.evaluate.chart import beats

        others = self._group.points if self._group else ()
        better = next((one for one in others if one.on_front and beats(one, point)), None)
        if better is None:
            return text("Another one is better in everything")
        return text("{other} is better in everything", other=better.name)

    def _select(self, row: Row) -> None:
        self.table.choose_row(cast("MeasuredTable", self.table.model()).row_of(row))
        self._show_row()

    def _on_point(self, point: ChartPoint) -> None:
        row = next((row for row in self._group.rows if row.point == point), None) if self._group else None
        if row is not None:
            self._select(row)

    def _show_row(self) -> None:
        row = self.row
        self._detail.setVisible(row is not None)
        if row is None or self._findings is None:
            return
        self.chart.mark(row.point)
        here = row.model.path in self._findings.here
        self._name.setText(say(name_of(row)))
        self.use.setVisible(here)
        self.use.setAccessibleName(say(text("Use this one: {model}", model=row.model.name)))
        self._show_figures(row)
        self._show_note(row, here=here)

    def _show_note(self, row: Row, *, here: bool) -> None:
        from localllm.core.evaluate.meaning import warnings_of

        notes = [] if here else [text("Its file is no longer where it was measured.")]
        if row.result is None:
            notes.append(text("The others are compared with this one; from itself it does not diverge."))
        else:
            notes += warnings_of(row.result.figures)
        self._note.setText(" ".join(say(note) for note in notes))
        self._note.setVisible(bool(notes))

    def _show_figures(self, row: Row) -> None:
        from localllm.core.evaluate import explain_figures

        empty_layout(self._figures)
        found = explain_figures(row.result.figures) if row.result else ()
        self.meanings = [(say(one.name), say(one.value), say(one.meaning)) for one in found]
        for line, (name, value, meaning) in enumerate(self.meanings):
            self._figures.addWidget(make_label(name), line, 0, Qt.AlignmentFlag.AlignTop)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
            self._figures.addWidget(make_label(value, "strong"), line, 1, right)
            self._figures.addWidget(make_label(meaning, "muted", wrap=True), line, 2)
        self._detail.setAccessibleDescription("\n".join(", ".join(parts) for parts in self.meanings))

    def _written(self, make: Callable[[Group], str]) -> str:
        return make(self._group) if self._group is not None else ""

    def _on_use(self) -> None:
        row = self.row
        if row is not None and self._findings is not None and row.model.path in self._findings.here:
            self.use_asked.emit(row)
