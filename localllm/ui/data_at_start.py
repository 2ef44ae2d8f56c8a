"""What the start does about the data folder: it must be there, and a planned move is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QMessageBox

from localllm.core.data_folder import require_data_folder
from localllm.core.data_move import carry_out_plan
from localllm.errors import LocalLLMError, StoreError
from localllm.paths import Paths
from localllm.ui.errors import sentences_of
from localllm.ui.single_window import SingleWindow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def wait_for_data(paths: Paths) -> Paths | None:
    """Return the paths when their folder is there: its disk may have to be connected; None to give up."""
    while True:
        try:
            require_data_folder(paths)
        except StoreError as error:
            if not _tell(error, again=True):
                return None
            paths = Paths.for_user()
        else:
            return paths


def take_window(paths: Paths, files: Sequence[Path]) -> tuple[SingleWindow, Paths] | None:
    """Take the one window of these folders, after moving them if that was planned; None if it is taken.

    The files are handed over to who has it.
    """
    single = SingleWindow(paths.data)
    if not single.take(files):
        return None
    now, problem = carry_out_plan(paths)
    if problem is not None:
        _tell(problem, again=False)
    if now.data == paths.data:
        return single, paths
    single.release()
    single = SingleWindow(now.data)
    return (single, now) if single.take(files) else None


def _tell(error: LocalLLMError, *, again: bool) -> bool:
    """Say what is wrong; return whether to try again."""
    box = QMessageBox(QMessageBox.Icon.Warning, "LocalLLM", "\n\n".join(sentences_of(error)))
    box.setTextFormat(Qt.TextFormat.PlainText)
    button = None
    if again:
        words = QCoreApplication.translate("DataAtStart", "Try again")
        button = box.addButton(words, QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Close)
    box.exec()  # before the window exists there is no other loop that could wait
    return button is not None and box.clickedButton() is button
