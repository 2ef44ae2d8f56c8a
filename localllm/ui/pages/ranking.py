"""The ranked table of every model, with a search field."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from PySide6.QtCore import QModelIndex, QSortFilterProxyModel, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QTableView,
    QVBoxLayout,
)

from localllm.core.fit import Verdict
from localllm.ui.itemmodels.choices import CHOICE_ROLE, SORT_ROLE, ChoicesItemModel
from localllm.ui.text_room import keep_width
from localllm.ui.translation import say
from localllm.ui.verdicts import source_of_speed, word_of
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.recommend import Choice

_ROWS_SHOWN = 12
_LICENCE_CHARACTERS = 14
_CELL_MARGIN = 20  # of a cell around its words


class RankingPanel(QFrame):
    """The table, what speaks for and against the chosen row, and where to get it.

    Signals:
        why_asked: A row is to be explained. arg: `Choice`.
        download_asked: A row is to be downloaded. arg: `Choice`.
    """

    why_asked = Signal(object)
    download_asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._choices = ChoicesItemModel(self)
        self._matches = QSortFilterProxyModel(self)
        self._matches.setSourceModel(self._choices)
        self._matches.setSortRole(SORT_ROLE)
        self._matches.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._table = self._make_table()
        self._reason = make_label(self.tr("Choose a row to read why it stands there."), "muted", wrap=True)
        self._why = make_button(self.tr("Why this one?"))
        self._why.setEnabled(False)
        self._why.clicked.connect(self._on_why)
        self._download = make_button(self.tr("Download it"))
        self._download.setEnabled(False)
        self._download.clicked.connect(self._on_download)
        search = QLineEdit()
        search.setPlaceholderText(self.tr("Search"))
        search.setAccessibleName(self.tr("Search the table of models"))
        search.setClearButtonEnabled(True)
        keep_width(search, most=260)
        search.textChanged.connect(self._matches.setFilterFixedString)
        head = QHBoxLayout()
        head.addWidget(make_label(self.tr("All models, best first"), "heading"), 1)
        head.addWidget(search, 1)
        foot = QHBoxLayout()
        foot.setSpacing(14)
        foot.addWidget(self._reason, 1)
        foot.addWidget(self._why)
        foot.addWidget(self._download)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 14)
        column.setSpacing(10)
        column.addLayout(head)
        column.addWidget(self._table)
        column.addLayout(foot)

    def show_choices(self, choices: Sequence[Choice]) -> None:
        """Show another ranking."""
        for button in (self._why, self._download):
            button.setEnabled(False)
        self._reason.setText(self.tr("Choose a row to read why it stands there."))
        self._choices.show_choices(choices)
        self._table.resizeColumnsToContents()
        self._widen_for_verdicts()
        last = self._choices.columnCount() - 1
        widest = self._table.fontMetrics().averageCharWidth() * _LICENCE_CHARACTERS
        self._table.setColumnWidth(last, min(self._table.columnWidth(last), widest))
        rows = min(max(3, len(choices)), _ROWS_SHOWN)
        height = self._table.verticalHeader().defaultSectionSize() * rows
        self._table.setFixedHeight(height + self._table.horizontalHeader().sizeHint().height() + 4)

    def _widen_for_verdicts(self) -> None:
        """Make room for every verdict: those that are longest stand below the rows that are measured."""
        metrics = self._table.fontMetrics()
        widest = max(metrics.horizontalAdvance(say(word_of(verdict))) for verdict in get_args(Verdict))
        column = self._choices.verdict_column
        self._table.setColumnWidth(column, max(self._table.columnWidth(column), widest + _CELL_MARGIN))

    def _make_table(self) -> QTableView:
        table = QTableView()
        table.setAccessibleName(self.tr("All models"))
        table.setModel(self._matches)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setShowGrid(False)
        table.setTabKeyNavigation(False)
        table.setAlternatingRowColors(True)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(table.fontMetrics().lineSpacing() + 12)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setResizeContentsPrecision(2 * _ROWS_SHOWN)  # all rows take 90 ms
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)  # as recommended, until a header is clicked
        table.setSortingEnabled(True)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        table.selectionModel().currentRowChanged.connect(self._on_current_changed)
        table.activated.connect(self._on_why)  # Enter, or a double click
        return table

    def _chosen(self) -> Choice | None:
        index = self._table.currentIndex()
        return index.data(CHOICE_ROLE) if index.isValid() else None

    def _on_current_changed(self, _index: QModelIndex) -> None:
        choice = self._chosen()
        for button in (self._why, self._download):
            button.setEnabled(choice is not None)
        if choice is not None:
            lines = [
                say(choice.reason),
                say(choice.why_not) if choice.why_not else "",
                say(source_of_speed(choice.speed)),
            ]
            self._reason.setText(" ".join(line for line in lines if line))

    def _on_why(self) -> None:
        choice = self._chosen()
        if choice is not None:
            self.why_asked.emit(choice)

    def _on_download(self) -> None:
        choice = self._chosen()
        if choice is not None:
            self.download_asked.emit(choice)
