"""What the Library page asks before it does something with files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QDialog, QDialogButtonBox, QRadioButton, QVBoxLayout, QWidget

from localllm.texts import plural
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PySide6.QtGui import QShowEvent

    from localllm.core.library.trash import Removal


class ImportDialog(QDialog):
    """Asks how files are to be taken in.

    Signals:
        agreed: args: list of `Path`, the manner ("place", "link", "copy").
    """

    agreed = Signal(object, str)

    def __init__(self, files: Sequence[Path], parent: QWidget) -> None:
        super().__init__(parent)
        self._files = list(files)
        self.setWindowTitle(self.tr("Import"))
        self.setMinimumWidth(460)
        column = _column(self)
        names = ", ".join(file.name for file in self._files[:3])
        column.addWidget(
            make_label(
                say(plural(len(self._files), "Import {names}", "Import {count} files: {names}", names=names)),
                "heading",
                wrap=True,
            )
        )
        self._group = QButtonGroup(self)
        self._manners = ("place", "link", "copy")
        for number, (words, explained) in enumerate(self._choices()):
            choice = QRadioButton(words)
            choice.setAccessibleDescription(explained)
            self._group.addButton(choice, number)
            column.addWidget(choice)
            help_line = make_label(explained, "small", wrap=True)
            help_line.setContentsMargins(22, 0, 0, 6)
            column.addWidget(help_line)
        self._group.button(0).setChecked(True)
        column.addWidget(
            make_label(
                self.tr("Every file is inspected first; one that is not sound is refused."),
                "muted",
                wrap=True,
            )
        )
        column.addStretch(1)
        column.addWidget(_buttons(self, self.tr("Import"), self._on_agreed))

    def choose(self, manner: str) -> None:
        """Choose how."""
        self._group.button(self._manners.index(manner)).setChecked(True)

    def _choices(self) -> tuple[tuple[str, str], ...]:
        return (
            (
                self.tr("Use it where it is"),
                self.tr("Nothing is copied; if you move the file, it leaves the list."),
            ),
            (
                self.tr("Link it into the models folder"),
                self.tr("Takes no further space; only on the same disk."),
            ),
            (
                self.tr("Copy it into the models folder"),
                self.tr("Takes its size once more; the original stays."),
            ),
        )

    def _on_agreed(self) -> None:
        self.agreed.emit(self._files, self._manners[self._group.checkedId()])
        self.accept()


class RemoveDialog(QDialog):
    """Says what removing means and what depends on the model.

    Signals:
        agreed: arg: `Removal`.
    """

    agreed = Signal(object)

    def __init__(self, removal: Removal, parent: QWidget, *, loaded: bool) -> None:
        super().__init__(parent)
        self._removal = removal
        self.setWindowTitle(self.tr("Remove a model"))
        self.setMinimumWidth(460)
        column = _column(self)
        sentences = [say(sentence) for sentence in removal.sentences()]
        if loaded:
            sentences.append(self.tr("It is loaded now and is ejected first."))
        column.addWidget(make_label(sentences[0], "heading", wrap=True))
        for sentence in sentences[1:]:
            column.addWidget(make_label(sentence, wrap=True))
        column.addWidget(make_label(self.tr("It can be undone."), "muted"))
        self._buttons = _buttons(self, self.tr("Remove"), self._on_agreed)
        column.addStretch(1)
        column.addWidget(self._buttons)

    def showEvent(self, event: QShowEvent) -> None:
        """Let Enter do nothing that has to be undone."""
        super().showEvent(event)
        self._buttons.button(QDialogButtonBox.StandardButton.Cancel).setFocus()

    def _on_agreed(self) -> None:
        self.agreed.emit(self._removal)
        self.accept()


def _column(dialog: QDialog) -> QVBoxLayout:
    column = QVBoxLayout(dialog)
    column.setContentsMargins(20, 18, 20, 16)
    column.setSpacing(8)
    return column


def _buttons(dialog: ImportDialog | RemoveDialog, words: str, act: object) -> QDialogButtonBox:
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
    agree = make_button(words, primary=True)
    agree.clicked.connect(act)
    buttons.addButton(agree, QDialogButtonBox.ButtonRole.AcceptRole)
    buttons.rejected.connect(dialog.reject)
    return buttons
