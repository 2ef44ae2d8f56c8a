"""The tensors of one model: a chart of the types in each layer over a table that can be sorted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from localllm.core.library.tensors import Tensor, list_tensors, types_by_layer
from localllm.texts import Bytes, Number, plural, text
from localllm.ui.itemmodels.tensors import TensorsTable
from localllm.ui.jobs import Job, JobRunner, Reactions
from localllm.ui.text_room import keep_width
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.layer_chart import LayerChart

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from localllm.ui.theme import Theme


_WIDE_FOR = {2: 400, 3: 520}  # pixels of the table from which the shape and the bits are shown


class _Table(QTableView):
    """Shows what there is room for."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Hide what would leave the names no room."""
        super().resizeEvent(event)
        for column, width in _WIDE_FOR.items():
            self.setColumnHidden(column, self.width() < width)


class LibraryTensors(QWidget):
    """Reads the tensors of a model when it is shown."""

    def __init__(self, theme: Theme, jobs: JobRunner) -> None:
        super().__init__()
        self._jobs = jobs
        self._path = Path()
        self._job: Job | None = None
        self._tensors: list[Tensor] = []
        self._chart = LayerChart(theme)
        self._words = make_label(role="small", wrap=True)
        self._search = QLineEdit()
        self.table = _Table()
        self.tensors = TensorsTable(self)
        self._build()

    def show_model(self, path: Path) -> None:
        """Read and show the tensors of a model, if they are not there already."""
        if path == self._path:
            return
        self._path = path
        self._show([], self.tr("Reading the tensors…"))
        if self._job is not None:
            self._job.cancel()
        reactions = Reactions(succeeded=self._on_read, failed=self._on_failed)
        self._job = self._jobs.run(lambda _progress: list_tensors(path), reactions)

    def forget(self) -> None:
        """Read again when a model is shown next: a file has changed."""
        self._path = Path()

    def _build(self) -> None:
        self._search.setPlaceholderText(self.tr("Search by name or type"))
        self._search.setAccessibleName(self.tr("Search the tensors"))
        self._search.setClearButtonEnabled(True)
        keep_width(self._search, most=260)
        self._search.textChanged.connect(self._filter)
        table = self.table
        table.setModel(self.tensors)
        table.setAccessibleName(self.tr("Tensors"))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSortingEnabled(True)
        table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        table.verticalHeader().setDefaultSectionSize(table.fontMetrics().lineSpacing() + 9)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        metrics = header.fontMetrics()
        for section, words in enumerate(("IQ4_NL", "4096×151936", "32.00", "512 bytes"), start=1):
            header.resizeSection(section, metrics.horizontalAdvance(words) + 26)
        row = QHBoxLayout()
        row.addWidget(self._words, 1)
        row.addWidget(self._search, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 10, 2, 4)
        column.setSpacing(8)
        column.addWidget(self._chart)
        column.addLayout(row)
        column.addWidget(table, 1)

    def _on_read(self, tensors: list[Tensor]) -> None:
        if self.sender() is self._job:
            size, weights = sum(t.size for t in tensors), sum(t.weights for t in tensors)
            bits = Number(size * 8 / weights, 2) if weights else "–"
            words = plural(
                len(tensors),
                "One tensor, {size}, {bits} bits per weight",
                "{count} tensors, {size}, {bits} bits per weight",
                size=Bytes(size),
                bits=bits,
            )
            self._show(tensors, say(words))

    def _on_failed(self, error: Exception) -> None:
        if self.sender() is self._job:
            self._path = Path()
            self._show([], say(text("The tensors cannot be read: {reason}", reason=str(error))))

    def _show(self, tensors: list[Tensor], words: str) -> None:
        self._tensors = tensors
        self._words.setText(words)
        self._chart.show_layers(types_by_layer(tensors))
        self._chart.setVisible(bool(tensors))
        self._filter(self._search.text())

    def _filter(self, words: str) -> None:
        wanted = words.lower().split()
        found = [
            tensor
            for tensor in self._tensors
            if all(word in f"{tensor.name} {tensor.type_name}".lower() for word in wanted)
        ]
        self.tensors.show_records(found)
        header = self.table.horizontalHeader()
        if header.sortIndicatorSection() in range(self.tensors.columnCount()):
            self.tensors.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())
