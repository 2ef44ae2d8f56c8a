"""A list of models to tick, with a search above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QListView, QVBoxLayout, QWidget

from localllm.ui.itemmodels.quality import ModelChecks
from localllm.ui.widgets.basics import make_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.library import LibraryModel


class ModelPicker(QWidget):
    """Models that can be measured; `checks` knows which are ticked."""

    def __init__(self, title: str, nothing: str, lines: int) -> None:
        super().__init__()
        self.checks = ModelChecks(self)
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search the models"))
        self.search.setAccessibleName(self.tr("Search the models"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self.checks.search)
        self.list = QListView()
        self.list.setModel(self.checks)
        self.list.setUniformItemSizes(True)
        self.list.setAccessibleName(self.tr("Models to measure"))
        self.list.setObjectName("checks")
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setMinimumHeight(self.list.fontMetrics().lineSpacing() * 2 * (lines - 1))
        self.nothing = make_label(nothing, "muted", wrap=True)
        self.nothing.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(make_label(title, "heading"))
        column.addWidget(self.search)
        column.addWidget(self.nothing)
        column.addWidget(self.list, 1)

    def show_models(self, models: Sequence[LibraryModel]) -> None:
        """Show what can be measured; what was ticked stays so."""
        self.checks.show_models(models)
        self.nothing.setVisible(not models)

    def choose(self, model: LibraryModel) -> None:
        """Tick one model alone."""
        self.search.clear()
        if self.checks.row_of(str(model.path)) < 0:
            self.checks.show_models([*self.checks.every, model])
        self.checks.choose([model])
        self.list.scrollTo(self.checks.index(self.checks.row_of(str(model.path))))
