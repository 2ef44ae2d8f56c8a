"""What was measured before: runs, each with its results, or several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QItemSelectionModel, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from localllm.texts import plural, text
from localllm.ui.errors import sentences_of
from localllm.ui.itemmodels.bench import RunTable, name_of_run, when_of
from localllm.ui.itemmodels.bench_compare import ComparisonTable, differences_of
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.bench_queries import find_runs, import_files, put_back, remove_runs
from localllm.ui.pages.bench_results import BenchResults
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import PageBody, ScrollArea, make_button, make_label
from localllm.ui.widgets.empty_state import EmptyState
from localllm.ui.widgets.record_view import RecordView
from localllm.ui.widgets.two_parts import TwoParts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QShowEvent

    from localllm.core.bench import BenchRun
    from localllm.ui.lab_work import Entry
    from localllm.ui.services import Services

_LEAST_LINES, _MOST_LINES = 2, 20  # of a comparison
_MOST_COMPARED = 20  # runs; nobody reads more side by side, and each takes its time
_TURN_AT = 820  # pixels from which a run has room beside the list


class HistoryPanel(QWidget):
    """A list of runs; the chosen ones are shown.

    Signals:
        said: arg: a passing sentence.
        measuring_asked: Nothing was measured yet, and something is to be.
    """

    said = Signal(str)
    measuring_asked = Signal()

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._reading: Job | None = None
        self._wanted = 0
        self._read: list[BenchRun] | None = None  # None = not yet
        self.model = RunTable(self)
        self.table = RecordView(self.tr("Runs"), several=True)
        self.comparison = RecordView(self.tr("Runs side by side"))
        self.results = BenchResults(services)
        self.banner = Banner(services.theme)
        self.setAccessibleName(self.tr("History"))
        self._build()
        self._connect()

    @property
    def chosen(self) -> list[BenchRun]:
        """The runs that are selected, in the order of the list."""
        rows = sorted(index.row() for index in self.table.selectionModel().selectedRows())
        return [self.model.records[row] for row in rows]

    def showEvent(self, event: QShowEvent) -> None:
        """Read the history."""
        super().showEvent(event)
        self.banner.hide()
        self.results.prepare()
        self.refresh()

    def setFocus(self) -> None:
        """Begin at the list."""
        self.table.setFocus()

    def refresh(self, wanted: int = 0) -> None:
        """Read the history again, and choose a run."""
        self._wanted = wanted
        paths = self._services.paths
        reactions = Reactions(succeeded=self._on_read, failed=self._on_unread)
        self._reading = self._services.jobs.run(lambda _progress: find_runs(paths), reactions)

    def take_files(self, files: Sequence[Path]) -> None:
        """Put llama-bench's files into the history."""
        self.banner.hide()
        paths = self._services.paths
        reactions = Reactions(succeeded=self.refresh, failed=self._on_half_done)
        self._services.jobs.run(lambda _progress: import_files(paths, files), reactions)

    def _build(self) -> None:
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        self.table.show_table(self.model)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.importing = make_button(self.tr("Import…"), name=self.tr("Import llama-bench's JSON"))
        self.importing.setToolTip(self.tr("Takes files that llama-bench wrote with “-o json” or “-o jsonl”"))
        self.remove = make_button(self.tr("Remove"), name=self.tr("Remove the chosen runs"))
        buttons = QHBoxLayout()
        buttons.addWidget(self.importing)
        buttons.addWidget(self.remove)
        buttons.addStretch(1)
        self._hint = make_label(
            self.tr("Choose several (Shift or Ctrl) to see them side by side."), "small", wrap=True
        )
        column.addWidget(self.table, 1)
        column.addWidget(self._hint)
        column.addLayout(buttons)
        left.setMinimumHeight(150)
        parts = TwoParts(left, self._build_shown(), turn_at=_TURN_AT, share=0.66, share_below=0.62)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.banner)
        whole.addWidget(parts, 1)

    def _build_shown(self) -> ScrollArea:
        self._shown = QStackedWidget()
        self._empty = EmptyState(
            self.tr(
                "Nothing was measured yet. What you measure is kept here with everything needed to repeat "
                "it, and can be compared; llama-bench's own results can be taken in, too."
            ),
            self.tr("Measure a model"),
        )
        self._empty.step_asked.connect(self.measuring_asked)
        for page in (self._empty, self.results, self._build_compared()):
            self._shown.addWidget(page)
        self._shown.hide()  # until it is known what there is
        body = PageBody()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 8, 0)
        column.addWidget(self._shown)
        column.addStretch(1)
        return ScrollArea(self.tr("The chosen run"), body)

    def _build_compared(self) -> QWidget:
        compared = QWidget()
        inside = QVBoxLayout(compared)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(8)
        self._differences = make_label(wrap=True)
        self.copy = make_button(self.tr("Copy"), name=self.tr("Copy the comparison"))
        self.copy.setToolTip(self.tr("As a table for a text, in Markdown"))
        head = QHBoxLayout()
        head.addWidget(make_label(self.tr("Side by side"), "heading"), 1)
        head.addWidget(self.copy)
        inside.addLayout(head)
        inside.addWidget(self._differences)
        inside.addWidget(self.comparison)
        inside.addStretch(1)
        return compared

    def _connect(self) -> None:
        self.table.selectionModel().selectionChanged.connect(self._show_chosen)
        self.importing.clicked.connect(self._on_import)
        self.remove.clicked.connect(self._on_remove)
        self.copy.clicked.connect(self._on_copy)
        self.results.said.connect(self.said)
        self.results.failed.connect(self._on_failed)
        self._services.lab.changed.connect(self._on_work_changed)

    def _on_read(self, runs: list[BenchRun]) -> None:
        if self.sender() is not self._reading:
            return
        self._shown.show()
        if runs == self._read and not self._wanted:
            return
        self._read = list(runs)
        before = {run.id for run in self.chosen}
        wanted = {self._wanted} if self._wanted else before
        self.model.show_records(runs)
        header = self.table.horizontalHeader()
        self.model.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())
        for column in range(self.model.columnCount() - 1):  # the last one has what is left
            self.table.resizeColumnToContents(column)
        rows = [row for row, run in enumerate(self.model.records) if run.id in wanted]
        self._select(rows or ([0] if runs else []))
        self._show_chosen()

    def _on_unread(self, error: Exception) -> None:
        """Say why, and do not say that nothing was measured."""
        self._shown.setVisible(bool(self.model.records))
        self.banner.show_notice(sentences_of(error), "error", [(self.tr("Try again"), self.refresh)])

    def _on_half_done(self, error: Exception) -> None:
        """Show why, and what was done until then."""
        self._on_failed(error)
        self.refresh()

    def _on_work_changed(self, entry: Entry) -> None:
        """Show what a bench has just added."""
        if self.isVisible() and not entry.active:
            self.refresh()

    def _select(self, rows: Sequence[int]) -> None:
        selection = self.table.selectionModel()
        flags = QItemSelectionModel.SelectionFlag
        selection.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        selection.clear()
        for row in rows:
            index = self.model.index(row, 0)
            selection.setCurrentIndex(index, flags.Select | flags.Rows)
        selection.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        self.table.scrollTo(self.table.currentIndex())
        self.table.viewport().update()

    def _on_failed(self, error: Exception) -> None:
        self.banner.show_notice(sentences_of(error), "error")

    def _show_chosen(self) -> None:
        chosen = self.chosen
        self.remove.setEnabled(bool(chosen))
        if not chosen:
            self._shown.setCurrentIndex(0)
        elif len(chosen) == 1:
            run = chosen[0]
            title = text("{when} · {what}", when=when_of(run), what=name_of_run(run))
            self.results.show_rows(say(title), run.rows, here=run.source == "here")
            self._shown.setCurrentIndex(1)
        else:
            self._show_comparison(chosen)
            self._shown.setCurrentIndex(2)

    def _show_comparison(self, chosen: Sequence[BenchRun]) -> None:
        runs = chosen[:_MOST_COMPARED]
        self.comparison.show_table(ComparisonTable(runs, self))
        self.comparison.resizeColumnsToContents()
        self.comparison.horizontalHeader().setStretchLastSection(True)
        self.comparison.show_lines(_LEAST_LINES, _MOST_LINES)
        lines = differences_of(runs)
        if len(chosen) > len(runs):
            count, total = len(runs), len(chosen)
            lines.insert(0, text("{count} of {total} are shown side by side.", count=count, total=total))
        self._differences.setText("\n".join(say(one) for one in lines))

    def _on_copy(self) -> None:
        words = f"{self._differences.text()}\n\n{self.comparison.markdown()}"
        QGuiApplication.clipboard().setText(words)
        self.said.emit(self.tr("Copied."))

    def _on_import(self) -> None:
        dialog = QFileDialog(self, self.tr("Import llama-bench's JSON"), str(Path.home()))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.setNameFilters([self.tr("Results of llama-bench (*.json *.jsonl)"), self.tr("All files (*)")])
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

        def accept(names: list[str]) -> None:
            self.take_files([Path(name) for name in names])

        dialog.filesSelected.connect(accept)
        dialog.open()

    def _on_remove(self) -> None:
        runs, paths = tuple(self.chosen), self._services.paths
        reactions = Reactions(succeeded=lambda _: self._on_removed(runs), failed=self._on_half_done)
        self._services.jobs.run(lambda _progress: remove_runs(paths, runs), reactions)
        self.table.setFocus()

    def _on_removed(self, runs: Sequence[BenchRun]) -> None:
        self.refresh()
        words = plural(
            len(runs), "1 run was removed from the history.", "{count} runs were removed from the history."
        )
        self._services.undo.offer(say(words), lambda: self._put_back(runs))

    def _put_back(self, runs: Sequence[BenchRun]) -> None:
        paths = self._services.paths
        reactions = Reactions(succeeded=lambda _: self.refresh(runs[0].id), failed=self._on_half_done)
        self._services.jobs.run(lambda _progress: put_back(paths, runs), reactions)
