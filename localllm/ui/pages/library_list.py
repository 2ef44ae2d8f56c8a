"""The left side of the Library page: every model on this disk, searched, filtered and sorted."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPoint, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QMenu,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from localllm.core.library.model import SOURCE_NAMES
from localllm.texts import text
from localllm.ui.itemmodels.library_page import (
    NAME,
    PARAMETERS,
    QUANT,
    SIZE,
    STAR,
    STATE,
    USED,
    ModelsTable,
    state_words,
)
from localllm.ui.pages.library_queries import Kind, Listing, Query
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.empty_state import EmptyState
from localllm.ui.widgets.library_rows import LibraryRowDelegate, row_height
from localllm.ui.widgets.patient import PatientComboBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent, QMouseEvent, QResizeEvent

    from localllm.core.library import LibraryModel
    from localllm.ui.theme import Theme

_STAR_WIDTH = 34
_WIDE_FOR = {USED: 680, PARAMETERS: 590}  # pixels of the table from which a column is shown


class _Table(QTableView):
    """Takes clicks on stars, Enter and the space bar.

    Signals:
        star_clicked: arg: the row.
        chosen: Enter was pressed.
    """

    star_clicked = Signal(int)
    chosen = Signal()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Take a click on the star."""
        index = self.indexAt(event.position().toPoint())
        super().mouseReleaseEvent(event)
        if index.isValid() and index.column() == STAR and event.button() == Qt.MouseButton.LeftButton:
            self.star_clicked.emit(index.row())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take Enter and the space bar, which marks a favourite."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.chosen.emit()
        elif event.key() == Qt.Key.Key_Space and self.currentIndex().isValid():
            self.star_clicked.emit(self.currentIndex().row())
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show what there is room for."""
        super().resizeEvent(event)
        for column, width in _WIDE_FOR.items():
            self.setColumnHidden(column, self.width() < width)


class LibraryList(QWidget):
    """Asks for models and shows them.

    Signals:
        asked: Other models are wanted. arg: `Query`.
        selected: arg: `LibraryModel`, or None.
        duplicates_asked: Files that are there several times are wanted.
        favourite_asked: args: `LibraryModel`, whether it is to be one.
        menu_asked: arg: `QMenu` to put actions for the selected model into.
        chosen: Enter was pressed, or a row double-clicked.
        discover_asked: There is no model, and one is wanted.
    """

    discover_asked = Signal()
    asked = Signal(object)
    selected = Signal(object)
    duplicates_asked = Signal()
    favourite_asked = Signal(object, bool)
    menu_asked = Signal(object)
    chosen = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._query = Query()
        self._filling = False
        self._wanted = ""
        self.models = ModelsTable(self)
        self._build()

    @property
    def query(self) -> Query:
        """What is asked for now."""
        return self._query

    @property
    def current(self) -> LibraryModel | None:
        """The model that is selected."""
        row = self.table.currentIndex().row()
        return self.models.records[row] if 0 <= row < len(self.models.records) else None

    def show_listing(self, listing: Listing) -> None:
        """Show models; the one that was selected stays so if it is among them."""
        kept = self._wanted or (str(self.current.path) if self.current else "")
        place = max(0, self.table.currentIndex().row())
        self._filling = True
        try:
            top = self.table.verticalScrollBar().value()
            self.models.show_records(listing.models)
            self.table.verticalScrollBar().setValue(top)
            row = self.models.row_of(kept)
            if listing.models:
                self.table.selectRow(row if row >= 0 else min(place, len(listing.models) - 1))
            if self._wanted and row >= 0:
                self.table.scrollTo(self.models.index(row, NAME))
                self._wanted = ""
            self._show_counts(listing)
            self._show_sources(listing.sources)
        finally:
            self._filling = False
        self._nothing.setVisible(not listing.models)
        self._nothing.say(*self._why_nothing())
        self.selected.emit(self.current)

    def select(self, path: str) -> None:
        """Select a model, as soon as it is listed."""
        row = self.models.row_of(path)
        if row >= 0:
            self.table.selectRow(row)
            self.table.scrollTo(self.models.index(row, NAME))
        else:
            self._wanted = path

    def focus_search(self) -> None:
        """Let the person type."""
        self.search.setFocus()
        self.search.selectAll()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(self._build_search())
        column.addLayout(self._build_kinds())
        self._nothing = EmptyState()
        self._nothing.step_asked.connect(self._on_step)
        self._nothing.hide()
        column.addWidget(self._nothing)
        column.addWidget(self._build_table(), 1)

    def _build_search(self) -> QHBoxLayout:
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search by name, quantization, notes, folder"))
        self.search.setToolTip(self.search.placeholderText())
        self.search.setAccessibleName(self.tr("Search the models on this disk"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._on_search_changed)
        self._sources = PatientComboBox()
        self._sources.setAccessibleName(self.tr("Source"))
        self._sources.addItem(self.tr("Every source"), "")
        self._sources.currentIndexChanged.connect(self._on_source_changed)
        row = QHBoxLayout()
        row.setSpacing(8)
        for control in (self.search, self._sources):
            keep_height(control)
        row.addWidget(self.search, 1)
        row.addWidget(self._sources)
        return row

    def _build_kinds(self) -> QHBoxLayout:
        self._kind_words: dict[Kind, str] = {
            "all": self.tr("All"),
            "favourites": self.tr("Favourites"),
            "refused": self.tr("Refused"),
        }
        self._kinds: dict[Kind, QToolButton] = {
            kind: self._make_chip(words) for kind, words in self._kind_words.items()
        }
        self._kinds["all"].setChecked(True)
        group = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(6)
        for kind, button in self._kinds.items():
            group.addButton(button)
            row.addWidget(button)
            button.clicked.connect(self._kind_chooser(kind))
        self._duplicates = self._make_chip(self.tr("Duplicates"))
        self._duplicates.setCheckable(False)
        self._duplicates.clicked.connect(self.duplicates_asked)
        row.addWidget(self._duplicates)
        row.addStretch(1)
        return row

    def _make_chip(self, words: str) -> QToolButton:
        chip = QToolButton()
        chip.setProperty("kind", "chip")
        chip.setCheckable(True)
        chip.setText(words)
        chip.setAccessibleName(words)
        chip.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        chip.setCursor(Qt.CursorShape.PointingHandCursor)
        return chip

    def _build_table(self) -> QTableView:
        table = self.table = _Table()
        table.setObjectName("models_table")
        table.setModel(self.models)
        table.setItemDelegate(LibraryRowDelegate(self._theme, table))
        table.setAccessibleName(self.tr("Models on this disk"))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        rows = table.verticalHeader()
        rows.setVisible(False)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(row_height(table.fontMetrics()))
        self._set_up_header(table.horizontalHeader())
        table.customContextMenuRequested.connect(self._on_menu)
        table.selectionModel().currentRowChanged.connect(self._on_current_changed)
        table.star_clicked.connect(self._on_star)
        table.chosen.connect(self.chosen)
        table.doubleClicked.connect(self._on_double_clicked)
        return table

    def _set_up_header(self, header: QHeaderView) -> None:
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.setSortIndicator(self._query.column, self._query.order)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(_STAR_WIDTH)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(STAR, QHeaderView.ResizeMode.Fixed)
        samples = {QUANT: "Q4_K_M", SIZE: "99.99 GiB", PARAMETERS: "999 M", STATE: "", USED: "2026-12-31"}
        header.resizeSection(STAR, _STAR_WIDTH)
        samples[STATE] = "● " + max((say(words) for words in state_words()), key=len)
        for section, sample in samples.items():
            title = say(self.models.columns[section].title)
            widest = max(header.fontMetrics().horizontalAdvance(one) for one in (sample, title))
            header.resizeSection(section, widest + 22)
        header.sortIndicatorChanged.connect(self._on_order_changed)

    def _on_search_changed(self, words: str) -> None:
        self._ask(dataclasses.replace(self._query, search=words))

    def _on_source_changed(self) -> None:
        self._ask(dataclasses.replace(self._query, source=str(self._sources.currentData() or "")))

    def _kind_chooser(self, kind: Kind) -> Callable[[], None]:
        return lambda: self._ask(dataclasses.replace(self._query, kind=kind))

    def _on_order_changed(self, column: int, order: Qt.SortOrder) -> None:
        self._ask(dataclasses.replace(self._query, column=column, order=order))

    def _ask(self, query: Query) -> None:
        if query != self._query and not self._filling:
            self._query = query
            self.asked.emit(query)

    def _show_counts(self, listing: Listing) -> None:
        for kind, button in self._kinds.items():
            count = listing.counts[kind]
            words = say(text("{name} {count}", name=self._kind_words[kind], count=count))
            button.setText(words)
            button.setAccessibleName(words)

    def _show_sources(self, sources: tuple[str, ...]) -> None:
        known = {str(self._sources.itemData(row)) for row in range(1, self._sources.count())}
        if known == set(sources):
            return
        own = {
            "own": self.tr("LocalLLM"),
            "starter": self.tr("Starter model"),
            "folder": self.tr("Own folders"),
            "added": self.tr("Added files"),
        }
        while self._sources.count() > 1:
            self._sources.removeItem(1)
        for source in sources:
            self._sources.addItem(own.get(source) or SOURCE_NAMES[source], source)
        self._sources.setCurrentIndex(max(0, self._sources.findData(self._query.source)))
        self._query = dataclasses.replace(self._query, source=str(self._sources.currentData() or ""))

    def _why_nothing(self) -> tuple[str, str]:
        """Return why nothing is listed, and the next step."""
        if self._query.search.strip():
            return self.tr("No model has all of these words."), self.tr("Clear the search")
        if self._query.kind == "favourites":
            words = self.tr(
                "No favourites yet. A click on the star of a model, or the space bar, makes it one."
            )
            return words, self.tr("Show all models")
        if self._query.kind == "refused":
            words = self.tr("No file was refused: every header that was read is sound.")
            return words, self.tr("Show all models")
        return self.tr("No models were found here yet."), self.tr("Find models in Discover")

    def _on_step(self) -> None:
        if self._query.search.strip():
            self.search.clear()
            self.search.setFocus()
        elif self._query.kind != "all":
            self._kinds["all"].click()
            self._kinds["all"].setFocus()
        else:
            self.discover_asked.emit()

    def _on_current_changed(self, _now: QModelIndex, _before: QModelIndex) -> None:
        if not self._filling:
            self.selected.emit(self.current)

    def _on_star(self, row: int) -> None:
        model = self.models.records[row]
        self.favourite_asked.emit(model, not model.favourite)

    def _on_double_clicked(self, index: QModelIndex) -> None:
        if index.column() != STAR:
            self.chosen.emit()

    def _on_menu(self, place: QPoint) -> None:
        if self.current is None:
            return
        menu = QMenu(self.table)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.menu_asked.emit(menu)
        order = menu.addMenu(self.tr("Sort by"))
        for column, entry in enumerate(self.models.columns):
            act = order.addAction(say(entry.title))
            act.setCheckable(True)
            act.setChecked(column == self._query.column)
            act.triggered.connect(lambda _checked=False, column=column: self.sort_by(column))
        menu.popup(self.table.viewport().mapToGlobal(place))

    def sort_by(self, column: int) -> None:
        """Sort by a column; by the same one again turns the order around."""
        again = column == self._query.column and self._query.order == Qt.SortOrder.AscendingOrder
        order = Qt.SortOrder.DescendingOrder if again else Qt.SortOrder.AscendingOrder
        self.table.horizontalHeader().setSortIndicator(column, order)
