"""What was measured: a chart and a table of all that can be compared, and what the figures of one mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QBoxLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from localllm.texts import Bytes, Number, text
from localllm.ui.itemmodels.quality import MeasuredTable, name_of, speed_of
from localllm.ui.itemmodels.records import RECORD_ROLE
from localllm.ui.pages.lab_copies import as_csv, as_markdown, title_of
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_card, make_label, make_link
from localllm.ui.widgets.patient import PatientComboBox
from localllm.ui.widgets.quality_chart import Across, QualityChart

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.evaluate import ChartPoint, Group, Row
    from localllm.texts import Text
    from localllm.ui.jobs import JobRunner
    from localllm.ui.pages.lab_quality_queries import Findings
    from localllm.ui.theme import Theme

_BESIDE = 1040  # pixels from which the table has room beside the chart
_ROWS_SHOWN = 9


class _Table(QTableView):
    """Takes Enter.

    Signals:
        entered: Enter was pressed on a row.
    """

    entered = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered.emit()
        else:
            super().keyPressEvent(event)


class QualityReport(QWidget):
    """Shows groups of results, one at a time.

    Signals:
        use_asked: A measured model is to be used. arg: `Row`.
        clear_asked: The predictions that are kept of references are to go.
        said: arg: a passing sentence.
    """

    use_asked = Signal(object)
    clear_asked = Signal()
    said = Signal(str)

    def __init__(self, theme: Theme, jobs: JobRunner) -> None:
        super().__init__()
        self._findings: Findings | None = None
        self._group: Group | None = None
        self.chart = QualityChart(theme, jobs)
        self.table = _Table()
        self.meanings: list[tuple[str, str, str]] = []
        self._build()

    @property
    def group(self) -> Group | None:
        """What is shown."""
        return self._group

    @property
    def row(self) -> Row | None:
        """The measured model that is chosen."""
        index = self.table.currentIndex()
        return cast("Row | None", index.data(RECORD_ROLE)) if index.isValid() else None

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

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the table beside the chart where there is room."""
        super().resizeEvent(event)
        wide = event.size().width() >= _BESIDE
        self._parts.setDirection(
            QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom
        )

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
        self.copying = QToolButton()
        self.copying.setProperty("kind", "menu")
        self.copying.setText(self.tr("Copy"))
        self.copying.setAccessibleName(self.tr("Copy the report"))
        self.copying.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.copying.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        menu = QMenu(self.copying)
        menu.addAction(self.tr("As Markdown"), lambda: self._copy(as_markdown))
        menu.addAction(self.tr("As CSV"), lambda: self._copy(as_csv))
        self.copying.setMenu(menu)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(make_label(self.tr("Results"), "heading"))
        row.addWidget(self.groups, 1)
        row.addWidget(self.across)
        row.addWidget(self.copying)
        return row

    def _build_parts(self) -> QWidget:
        panel = QWidget()
        self._parts = QBoxLayout(QBoxLayout.Direction.TopToBottom, panel)
        self._parts.setContentsMargins(0, 0, 0, 0)
        self._parts.setSpacing(10)
        charted = self._charted = QWidget()
        column = QVBoxLayout(charted)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self._legend = make_label(role="small", wrap=True)
        column.addWidget(self.chart, 1)
        column.addWidget(self._legend)
        self._parts.addWidget(charted, 4)
        self._parts.addWidget(self._build_table(), 5, Qt.AlignmentFlag.AlignTop)
        self.chart.chosen.connect(self._on_point)
        return panel

    def _build_table(self) -> QTableView:
        table = self.table
        table.setAccessibleName(self.tr("What was measured"))
        table.setObjectName("measured_table")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setSortingEnabled(True)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        table.verticalHeader().setDefaultSectionSize(table.fontMetrics().lineSpacing() + 11)
        table.horizontalHeader().setHighlightSections(False)
        table.entered.connect(self._on_use)
        table.doubleClicked.connect(self._on_use)
        return table

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
        before = self.table.model()
        table = MeasuredTable(self._group, self)
        self.table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.table.setModel(table)
        if isinstance(before, MeasuredTable):
            before.deleteLater()
        self.table.selectionModel().currentRowChanged.connect(self._on_row)
        self._fit_columns(table)
        self._show_chart()
        measured = [row for row in self._group.rows if row.result is not None]
        chosen = next((row for row in self._group.rows if row.model.path == path), measured[0])
        self._select(chosen)

    def _fit_columns(self, table: MeasuredTable) -> None:
        header, metrics = self.table.horizontalHeader(), self.table.fontMetrics()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for number, column in enumerate(table.columns):
            words = [say(column.title) + "  ", *(say(column.shown(row)) for row in table.records)]
            header.resizeSection(number, max(metrics.horizontalAdvance(one) for one in words) + 26)
        line = self.table.verticalHeader().defaultSectionSize()
        shown = min(_ROWS_SHOWN, max(2, len(table.records)))
        self.table.setFixedHeight(header.sizeHint().height() + line * shown + 6)

    def _show_chart(self) -> None:
        group = self._group
        across = cast("Across", self.across.currentData())
        points = group.points if group else ()
        charted = len(points) > 1
        self._charted.setVisible(charted)
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
        table = cast("MeasuredTable", self.table.model())
        index = table.index(table.row_of(row), 0)
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.table.selectionModel().setCurrentIndex(index, flags)
        self._show_row()

    def _on_row(self, _now: QModelIndex, _before: QModelIndex) -> None:
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

        while (item := self._figures.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        found = explain_figures(row.result.figures) if row.result else ()
        self.meanings = [(say(one.name), say(one.value), say(one.meaning)) for one in found]
        for line, (name, value, meaning) in enumerate(self.meanings):
            self._figures.addWidget(make_label(name), line, 0, Qt.AlignmentFlag.AlignTop)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
            self._figures.addWidget(make_label(value, "strong"), line, 1, right)
            self._figures.addWidget(make_label(meaning, "muted", wrap=True), line, 2)
        self._detail.setAccessibleDescription("\n".join(", ".join(parts) for parts in self.meanings))

    def _copy(self, make: Callable[[Group], str]) -> None:
        if self._group is not None:
            QGuiApplication.clipboard().setText(make(self._group))
            self.said.emit(self.tr("Copied."))

    def _on_use(self) -> None:
        row = self.row
        if row is not None and self._findings is not None and row.model.path in self._findings.here:
            self.use_asked.emit(row)
