"""Two buttons that every result has: what can be copied of it, and as what it can be saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QToolButton, QWidget

from localllm.errors import UsageError
from localllm.files import write_atomically
from localllm.texts import text
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localllm.ui.widgets.chart import Chart

_PICTURES = ("png", "svg")


class ResultMenus(QWidget):
    """Copies and saves a chart and the table that it is drawn from.

    Signals:
        said: arg: a passing sentence.
        failed: A file cannot be written. arg: the exception.
    """

    said = Signal(str)
    failed = Signal(object)

    def __init__(self, chart: Chart[Any], tables: Mapping[str, tuple[str, Callable[[], str]]]) -> None:
        """`tables` has for each kind of file its words in the menu and what makes it."""
        super().__init__()
        self._chart = chart
        self._tables = {kind: make for kind, (_, make) in tables.items()}
        self.copying = _menu_button(self.tr("Copy"), self.tr("Copy the results"))
        self.saving = _menu_button(self.tr("Save"), self.tr("Save the results"))
        copies, files = self.copying.menu(), self.saving.menu()
        for words, make in tables.values():
            copies.addAction(words, lambda make=make: self._copy(make()))
        self._of_chart = [copies.addAction(self.tr("The chart"), self._copy_chart)]
        for kind in _PICTURES:
            words = self.tr("Chart as {kind}…").format(kind=kind.upper())
            self._of_chart.append(files.addAction(words, lambda kind=kind: self._ask_for_file(kind)))
        for kind in self._tables:
            words = self.tr("Table as {kind}…").format(kind=kind.upper())
            files.addAction(words, lambda kind=kind: self._ask_for_file(kind))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.copying)
        row.addWidget(self.saving)

    def show_chart(self, *, there: bool) -> None:
        """Offer the chart only while there is one."""
        for action in self._of_chart:
            action.setEnabled(there)

    def save(self, file: Path, kind: str) -> None:
        """Write the chart ("png", "svg") or the table to a file."""
        makers: dict[str, Callable[[], bytes]] = {"png": self._chart.png, "svg": self._chart.svg}
        if kind in makers and not self._chart.ready:
            return
        try:
            write_atomically(file, makers[kind]() if kind in makers else self._tables[kind]().encode())
        except OSError:
            hint = text("Choose another folder, or make room.")
            self.failed.emit(UsageError(text("“{name}” cannot be written.", name=file.name), hint=hint))
        else:
            self.said.emit(say(text("Saved as {name}.", name=file.name)))

    def _copy(self, words: str) -> None:
        QGuiApplication.clipboard().setText(words)
        self.said.emit(self.tr("Copied."))

    def _copy_chart(self) -> None:
        if self._chart.ready:
            QGuiApplication.clipboard().setImage(self._chart.image())
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


def _menu_button(words: str, name: str) -> QToolButton:
    button = QToolButton()
    button.setProperty("kind", "menu")
    button.setText(words)
    button.setAccessibleName(name)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setMenu(QMenu(button))
    return button
