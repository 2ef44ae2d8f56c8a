"""The glossary: what the terms mean, what each quantization costs, and the keys of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from localllm.core.catalogue import Catalogue
from localllm.core.glossary import LEVEL_TITLES, LEVELS_NOTE, level_cells
from localllm.ui.keyboard import keyboard_groups, shown_keys
from localllm.ui.terms import glossary
from localllm.ui.text_room import keep_width
from localllm.ui.translation import say
from localllm.ui.widgets.basics import PageBody, ScrollArea, make_card, make_label, make_link
from localllm.ui.widgets.page_tabs import PageTabs, head_with_tabs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.glossary import Term
    from localllm.ui.itemmodels.commands import Command
    from localllm.ui.services import Services

TERMS, LEVELS, KEYBOARD = range(3)
_LIST_WIDTH, _KEYS_WIDTH, _WORDS_WIDTH = 280, 150, 200
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop


class GlossaryPage(QWidget):
    """Three tabs; terms are searched and read side by side."""

    def __init__(self, services: Services, commands: Sequence[Command]) -> None:
        super().__init__()
        self._services, self._commands = services, commands
        self.setAccessibleName(self.tr("Glossary"))
        self.search, self.list = QLineEdit(), QListWidget()
        self.tabs = PageTabs("glossary", self.tr("What is explained"))
        self._stack = QStackedWidget()
        self._see_also: list[QWidget] = []
        self._build()
        self.search.textChanged.connect(self._show_matches)
        self.list.currentRowChanged.connect(self._on_row_changed)
        self.tabs.currentChanged.connect(self._stack.setCurrentIndex)
        self._show_matches("")

    def setFocus(self) -> None:
        """Let the person type what is looked for."""
        self.search.setFocus()

    def open_term(self, term_id: str) -> None:
        """Show a term."""
        self.tabs.setCurrentIndex(TERMS)
        self.search.clear()
        ids = [term.id for term in glossary().terms]
        self.list.setCurrentRow(ids.index(term_id))
        self.list.setFocus()

    def open_levels(self) -> None:
        """Show what each quantization costs."""
        self.tabs.setCurrentIndex(LEVELS)

    @property
    def shown(self) -> str:
        """What is said of the chosen term."""
        return f"{self._name.text()} {self._short.text()} {self._more.text()}"

    def _build(self) -> None:
        self._stack.addWidget(self._build_terms())
        self._stack.addWidget(ScrollArea(self.tr("Quantization levels"), self._build_levels()))
        self._stack.addWidget(ScrollArea(self.tr("Keyboard"), self._build_keyboard()))
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 14, 20, 14)
        column.setSpacing(12)
        column.addLayout(head_with_tabs(self.tr("Glossary"), self.tabs))
        column.addWidget(self._stack, 1)

    def _build_terms(self) -> QWidget:
        self.search.setPlaceholderText(self.tr("Search the terms"))
        self.search.setAccessibleName(self.tr("Search the terms"))
        self.search.setClearButtonEnabled(True)
        self.list.setAccessibleName(self.tr("Terms"))
        self._nothing = make_label(self.tr("No term has this name. Try another word."), "muted", wrap=True)
        left = QVBoxLayout()
        left.setSpacing(8)
        left.addWidget(self.search)
        left.addWidget(self.list, 1)
        left.addWidget(self._nothing)
        holder = QWidget()
        holder.setLayout(left)
        left.setContentsMargins(0, 0, 0, 0)
        keep_width(holder, most=_LIST_WIDTH)
        whole = QWidget()
        row = QHBoxLayout(whole)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(16)
        row.addWidget(holder, 2)
        row.addWidget(self._build_meaning(), 3)
        return whole

    def _build_meaning(self) -> QWidget:
        self._name = make_label("", "title", wrap=True)
        self._short = make_label("", "heading", wrap=True)
        self._more = make_label("", wrap=True)
        self._see = make_label(self.tr("See also"), "caption")
        self._links = QVBoxLayout()
        self._links.setSpacing(2)
        card = make_card()
        column = QVBoxLayout(card)
        column.setContentsMargins(22, 18, 22, 18)
        column.setSpacing(12)
        for label in (self._name, self._short, self._more, self._see):
            column.addWidget(label)
        column.addLayout(self._links)
        column.addStretch(1)
        body = PageBody()
        whole = QVBoxLayout(body)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(card)
        return ScrollArea(self.tr("What is explained"), body)

    def _build_levels(self) -> QWidget:
        levels = glossary().levels(Catalogue.for_user(self._services.paths))
        rows = [[say(cell) for cell in level_cells(level)] for level in levels]
        grid = _grid([say(title) for title in LEVEL_TITLES], rows, right=range(1, len(LEVEL_TITLES) - 1))
        body = PageBody()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 4, 8, 4)
        column.setSpacing(12)
        column.addWidget(grid)
        column.addWidget(make_label(say(LEVELS_NOTE), "small", wrap=True))
        sources = ", ".join(dict.fromkeys(level.source for level in levels))
        column.addWidget(make_label(sources, "small", wrap=True))
        column.addStretch(1)
        return body

    def _build_keyboard(self) -> QWidget:
        body = PageBody()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 4, 8, 4)
        column.setSpacing(12)
        for title, keys in keyboard_groups(self._commands):
            rows = [[shown_keys(key), say(words)] for key, words in keys]
            column.addWidget(_grid([say(title), ""], rows, right=range(0), least=_KEYS_WIDTH))
        column.addStretch(1)
        return body

    def _show_matches(self, words: str) -> None:
        self.list.clear()
        for term in glossary().search(words):
            item = QListWidgetItem(term.name)
            item.setData(Qt.ItemDataRole.UserRole, term.id)
            item.setData(Qt.ItemDataRole.AccessibleDescriptionRole, term.short)
            self.list.addItem(item)
        found = self.list.count() > 0
        self._nothing.setVisible(not found)
        if found:
            self.list.setCurrentRow(0)

    def _on_row_changed(self, row: int) -> None:
        if row < 0:
            return
        known = glossary()
        term = known.get(str(self.list.item(row).data(Qt.ItemDataRole.UserRole)))
        self._name.setText(term.name)
        self._short.setText(term.short)
        self._more.setText(term.more)
        self._see.setVisible(bool(term.see))
        for before in self._see_also:
            before.deleteLater()
        self._see_also = [self._make_link(known.get(name)) for name in term.see]

    def _make_link(self, term: Term) -> QWidget:
        link = make_link(term.name)
        link.clicked.connect(lambda: self.open_term(term.id))
        self._links.addWidget(link, 0, Qt.AlignmentFlag.AlignLeft)
        return link


def _grid(titles: list[str], rows: list[list[str]], *, right: range, least: int = 0) -> QWidget:
    """Return a table of words; the first column has a `least` width, the last takes what is left."""
    card = make_card()
    grid = QGridLayout(card)
    grid.setContentsMargins(18, 12, 18, 14)
    grid.setHorizontalSpacing(24)
    grid.setVerticalSpacing(8)
    grid.setColumnStretch(len(titles) - 1, 1)
    for place, title in enumerate(titles):
        side = _RIGHT if place in right else _LEFT
        head = make_label(title, "caption")
        if place == 0:
            keep_width(head, least=least)
        elif place == len(titles) - 1:
            keep_width(head, least=_WORDS_WIDTH)
        grid.addWidget(head, 0, place, side)
        for line, row in enumerate(rows, start=1):
            last = place == len(titles) - 1
            cell = make_label(row[place], "strong" if place == 0 else "body", wrap=last)
            grid.addWidget(cell, line, place) if last else grid.addWidget(cell, line, place, side)
    return card
