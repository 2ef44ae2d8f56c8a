"""The results of a bench: a chart and a table that fill as it goes along; copies and files of both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from localllm.core.bench.charts import KINDS, across_of, kind_of, of_kind, value_of
from localllm.core.bench.formats import render
from localllm.errors import UsageError
from localllm.files import write_atomically
from localllm.texts import text
from localllm.ui.itemmodels.bench import TITLES, ResultTable
from localllm.ui.itemmodels.records import RECORD_ROLE
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.bench_pictures import bars, lines, roofline, roofs_of
from localllm.ui.pages.bench_queries import active_shares
from localllm.ui.translation import say
from localllm.ui.widgets.basics import ElidedLabel, make_label
from localllm.ui.widgets.bench_chart import BenchChart
from localllm.ui.widgets.patient import PatientComboBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QResizeEvent

    from localllm.core.bench import BenchRow
    from localllm.core.bench.formats import Format
    from localllm.ui.itemmodels.records import Column
    from localllm.ui.services import Services

_ROWS_SHOWN = 14
_KINDS = {
    "read": text("Reading a prompt"),
    "write": text("Writing an answer"),
    "both": text("Reading and writing"),
}
_AROUND = 26  # pixels of a cell besides its words
_MS_BETWEEN = 200  # the chart is drawn no more often while results come in
_FEWEST_PLACES = 2  # of a line; two points are better bars
_MOST_BARS = 60  # that can be told apart


class BenchResults(QWidget):
    """Shows rows.

    Signals:
        said: arg: a passing sentence.
        failed: A file cannot be written, or the chart not be drawn. arg: the exception.
    """

    said = Signal(str)
    failed = Signal(object)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._shares: dict[str, float] = {}
        self._asking: Job | None = None
        self._here = True
        self._widths: list[int] = []
        self.model = ResultTable(self)
        self.chart = BenchChart(services.theme, services.jobs)
        self.table = QTableView()
        self.kinds, self.views = PatientComboBox(), PatientComboBox()
        self._build()
        self._connect()

    @property
    def rows(self) -> list[BenchRow]:
        """What is shown, in its order."""
        return list(self.model.records)

    def show_rows(self, title: str, rows: Sequence[BenchRow], *, here: bool = True) -> None:
        """Show other results; `here` says that they are of this computer."""
        if title != self._title.text():
            with QSignalBlocker(self.views):
                self.views.clear()  # what suits these is proposed
        self._title.set_words(title)
        self._here = here
        self.table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.model.show_results(rows)
        self._fit_columns(self.model.records, anew=True)
        self._ask_for_shares()
        self._show_choices()

    def add(self, row: BenchRow) -> None:
        """Show one more result."""
        at_end = self.table.currentIndex().row() in (-1, len(self.model.records) - 1)
        anew = self.model.add(row)
        self._fit_columns(self.model.records if anew else [row], anew=anew)
        if at_end:
            self.table.scrollToBottom()
        self._soon.start()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share the width among the columns anew."""
        super().resizeEvent(event)
        if self._widths:
            self._apply_widths()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(self._build_head())
        column.addWidget(self.chart)
        self._legend = make_label(role="small", wrap=True)
        column.addWidget(self._legend)
        column.addWidget(self._build_table())

    def _build_head(self) -> QVBoxLayout:
        self._title = ElidedLabel(role="heading")
        self.kinds.setAccessibleName(self.tr("What the chart shows"))
        self.views.setAccessibleName(self.tr("How the chart shows it"))
        for combo in (self.kinds, self.views):
            combo.setSizeAdjustPolicy(PatientComboBox.SizeAdjustPolicy.AdjustToContents)
        self.copying = self._menu_button(self.tr("Copy"), self.tr("Copy the results"))
        self.saving = self._menu_button(self.tr("Save"), self.tr("Save the results"))
        copies, files = self.copying.menu(), self.saving.menu()
        copies.addAction(self.tr("As llama-bench's table"), lambda: self._copy("md"))
        copies.addAction(self.tr("As CSV"), lambda: self._copy("csv"))
        copies.addAction(self.tr("As JSON"), lambda: self._copy("json"))
        self._picture_actions = [copies.addAction(self.tr("The chart"), self._copy_chart)]
        for kind in ("png", "svg"):
            words = self.tr("Chart as {kind}…").format(kind=kind.upper())
            self._picture_actions.append(files.addAction(words, lambda kind=kind: self._ask_for_file(kind)))
        for kind in ("csv", "json", "md"):
            words = self.tr("Table as {kind}…").format(kind=kind.upper())
            files.addAction(words, lambda kind=kind: self._ask_for_file(kind))
        row, choices = QHBoxLayout(), QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._title, 1)
        row.addWidget(self.copying)
        row.addWidget(self.saving)
        choices.setSpacing(8)
        choices.addWidget(self.kinds)
        choices.addWidget(self.views)
        choices.addStretch(1)
        column = QVBoxLayout()
        column.setSpacing(8)
        column.addLayout(row)
        column.addLayout(choices)
        return column

    def _menu_button(self, words: str, name: str) -> QToolButton:
        button = QToolButton()
        button.setProperty("kind", "menu")
        button.setText(words)
        button.setAccessibleName(name)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        button.setMenu(QMenu(button))
        return button

    def _build_table(self) -> QTableView:
        table = self.table
        table.setModel(self.model)
        table.setAccessibleName(self.tr("Results"))
        table.setObjectName("measured_table")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setSortingEnabled(True)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setTextElideMode(Qt.TextElideMode.ElideRight)
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        table.verticalHeader().setDefaultSectionSize(table.fontMetrics().lineSpacing() + 11)
        table.horizontalHeader().setHighlightSections(False)
        return table

    def _connect(self) -> None:
        self.kinds.currentIndexChanged.connect(self._show_views)
        self.views.currentIndexChanged.connect(self._show_chart)
        self.chart.chosen.connect(self._on_chosen)
        self.chart.failed.connect(self.failed)
        self.table.selectionModel().currentRowChanged.connect(self._on_row)
        self._services.computer.changed.connect(self._show_choices)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_MS_BETWEEN)
        self._soon.timeout.connect(self._show_added)

    def _fit_columns(self, rows: Sequence[BenchRow], *, anew: bool) -> None:
        """Give columns the room that these rows need; `anew` says that there are others than before."""
        metrics = self.table.fontMetrics()
        before = [0] * len(self.model.columns) if anew else self._widths
        self._widths = [
            max([least, *(metrics.horizontalAdvance(words) + _AROUND for words in self._words(column, rows))])
            for column, least in zip(self.model.columns, before, strict=True)
        ]
        self._apply_widths()

    def _words(self, column: Column[BenchRow], rows: Sequence[BenchRow]) -> list[str]:
        return [say(column.title) + "  ", *(say(column.shown(row)) for row in rows)]

    def _apply_widths(self) -> None:
        """Let remarks have what is left, but no less than they need."""
        header = self.table.horizontalHeader()
        needed = sum(self._widths) > self.table.viewport().width()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(not needed)
        for number, width in enumerate(self._widths[: None if needed else -1]):
            header.resizeSection(number, width)
        line = self.table.verticalHeader().defaultSectionSize()
        shown = min(_ROWS_SHOWN, max(2, len(self.model.records)))
        below = self.table.horizontalScrollBar().sizeHint().height() if needed else 0
        self.table.setFixedHeight(header.sizeHint().height() + line * shown + 6 + below)

    def _show_added(self) -> None:
        self._ask_for_shares()
        self._show_choices()

    def _show_choices(self) -> None:
        """Offer the kinds of test that there are."""
        rows = self.model.records
        there = [kind for kind in KINDS if of_kind(rows, kind)]
        names = [(say(_KINDS[kind]), kind) for kind in there]
        _fill(self.kinds, names, "write" if self.kinds.count() == 0 else "")
        self.kinds.setVisible(len(there) > 1)
        self._show_views()

    def _show_views(self) -> None:
        rows = of_kind(self.model.records, self.kinds.currentData()) if self.kinds.count() else []
        names = [(self.tr("Bars"), "bars")]
        names += [(self.tr("Over: {what}").format(what=say(TITLES[name])), name) for name in across_of(rows)]
        machine = self._services.computer.machine
        if self._here and machine is not None and roofs_of(machine) and any(map(_has_weights, rows)):
            names.append((self.tr("Roofline"), "roof"))
        _fill(self.views, names, _proposed(rows) if self.views.count() <= 1 else "")
        self.views.setVisible(bool(rows) and len(names) > 1)
        self._show_chart()

    def _show_chart(self) -> None:
        rows = of_kind(self.model.records, self.kinds.currentData()) if self.kinds.count() else []
        view = cast("str", self.views.currentData())
        machine = self._services.computer.machine
        self.kinds.setEnabled(view != "roof")
        self.chart.setVisible(bool(rows))
        for action in self._picture_actions:
            action.setEnabled(bool(rows))
        legend = ""
        if not rows:
            pass
        elif view == "roof" and machine is not None:
            every = [row for row in self.model.records if row.samples and kind_of(row) != "both"]
            self.chart.show_picture(roofline(every, machine, self._shares))
            legend = self.tr(
                "Writing reads every weight for each token, so the slope of the memory limits it; reading a "
                "prompt uses each weight many times, so the processor does. The dashed line is the most "
                "that was reached here."
            )
        elif view == "bars":
            self.chart.show_picture(bars(rows[-_MOST_BARS:]))
            if len(rows) > _MOST_BARS:
                legend = say(
                    text("The last {count} of {total} are drawn.", count=_MOST_BARS, total=len(rows))
                )
        else:
            self.chart.show_picture(lines(rows, view))
        self._legend.setText(legend)
        self._legend.setVisible(bool(legend))

    def _ask_for_shares(self) -> None:
        """Find out what mixtures of experts read for a token; until then all of their weights count."""
        files = {str(row.fields.get("model_filename", "")) for row in self.model.records if row.samples}
        missing = files - set(self._shares)
        if missing and self._here:
            self._shares.update(dict.fromkeys(missing, 1.0))
            reactions = Reactions(succeeded=self._on_shares)
            self._asking = self._services.jobs.run(lambda _progress: active_shares(missing), reactions)

    def _on_shares(self, shares: dict[str, float]) -> None:
        self._shares.update(shares)
        if self.views.currentData() == "roof":
            self._show_chart()

    def _on_chosen(self, row: BenchRow) -> None:
        index = self.model.index(self.model.row_of(row), 0)
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.table.selectionModel().setCurrentIndex(index, flags)

    def _on_row(self, now: QModelIndex, _before: QModelIndex) -> None:
        self.chart.mark(cast("BenchRow | None", now.data(RECORD_ROLE)) if now.isValid() else None)

    def _copy(self, form: Format) -> None:
        QGuiApplication.clipboard().setText(render(self.model.records, form))
        self.said.emit(self.tr("Copied."))

    def _copy_chart(self) -> None:
        if self.chart.ready:
            QGuiApplication.clipboard().setImage(self.chart.image())
            self.said.emit(self.tr("Copied."))

    def _ask_for_file(self, kind: str) -> None:
        dialog = QFileDialog(self, self.tr("Save the results"), str(Path.home()))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(kind)
        dialog.setNameFilters([f"{kind.upper()} (*.{kind})"])
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

        def accept(name: str) -> None:
            self.save(Path(name), kind)

        dialog.fileSelected.connect(accept)
        dialog.open()

    def save(self, file: Path, kind: str) -> None:
        """Write the chart ("png", "svg") or the table ("csv", "json", "md") to a file."""
        makers = {"png": self.chart.png, "svg": self.chart.svg}
        if kind in makers and not self.chart.ready:
            return
        try:
            content = makers[kind]() if kind in makers else self._table_as(cast("Format", kind))
            write_atomically(file, content)
        except OSError:
            hint = text("Choose another folder, or make room.")
            self.failed.emit(UsageError(text("“{name}” cannot be written.", name=file.name), hint=hint))
        else:
            self.said.emit(say(text("Saved as {name}.", name=file.name)))

    def _table_as(self, form: Format) -> bytes:
        return render(self.model.records, form).encode()


def _proposed(rows: Sequence[BenchRow]) -> str:
    """Return what to run a line over: whatever has most values, if three or more."""
    counts = {name: len({value_of(row, name) for row in rows}) for name in across_of(rows)}
    best = max(counts, key=counts.__getitem__, default="")
    return best if counts.get(best, 0) > _FEWEST_PLACES else ""


def _has_weights(row: BenchRow) -> bool:
    return bool(row.number("model_size") and row.number("model_n_params"))


def _fill(combo: PatientComboBox, entries: Sequence[tuple[str, str]], proposed: str) -> None:
    """Offer other entries; what was chosen stays so if it is among them."""
    wanted = proposed or cast("str | None", combo.currentData())
    if [combo.itemData(n) for n in range(combo.count())] == [data for _, data in entries]:
        return
    with QSignalBlocker(combo):
        combo.clear()
        for words, data in entries:
            combo.addItem(words, data)
        combo.setCurrentIndex(max(0, combo.findData(wanted)))
