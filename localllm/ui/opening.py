"""What is done with files from outside: dropped onto the window, or opened in the file manager."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from localllm.core.library import LibraryModel, inspect
from localllm.texts import Bytes, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Job, Reactions
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.ui.routes import Routes
    from localllm.ui.services import Services
    from localllm.ui.widgets.banner import Banner


class Opening(QObject):
    """Looks at files and offers what can be done; what it has to say stands in the banner."""

    def __init__(self, services: Services, routes: Routes, banner: Banner, window: QWidget) -> None:
        super().__init__(window)
        self._services, self._routes, self._banner, self._window = services, routes, banner, window
        self._checking: Job | None = None

    def open(self, paths: Sequence[Path]) -> None:
        """Offer to chat with one file, to take in several, to look through a folder, or to convert one."""
        self._banner.hide()
        self._checking = None  # what is asked for last counts
        first = paths[0]
        if len(paths) == 1 and is_checkpoint(first):
            self._routes.convert(str(first))
        elif len(paths) == 1 and not first.is_dir():
            reactions = Reactions(succeeded=self._on_checked, failed=self._on_refused)
            self._checking = self._services.jobs.run(lambda _progress: inspect(first), reactions)
        else:
            self._routes.take_in(list(paths))

    def choose(self) -> None:
        """Let a file be chosen."""
        dialog = QFileDialog(self._window, self.tr("Open a GGUF file"), str(Path.home()))
        dialog.setNameFilters([self.tr("GGUF models (*.gguf)"), self.tr("All files (*)")])
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self._on_chosen)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _on_chosen(self, name: str) -> None:
        self.open([Path(name)])

    def _on_checked(self, model: LibraryModel) -> None:
        if self.sender() is not self._checking:
            return
        facts = text("{name}: {quant}, {size}.", name=model.name, quant=model.quant, size=Bytes(model.size))
        sentences = [say(facts), self.tr("It was checked. To chat, it is used where it lies.")]
        actions = (
            (self.tr("Chat with it"), partial(self._routes.chat_with_model, model)),
            (self.tr("Add it to the library…"), partial(self._routes.take_in, [model.path])),
        )
        self._banner.show_notice(sentences, "notice", actions)
        self._banner.buttons[0].setFocus()

    def _on_refused(self, error: Exception) -> None:
        if self.sender() is self._checking:
            self._banner.show_notice(sentences_of(error), "error")


def is_checkpoint(path: Path) -> bool:
    """Tell whether a folder holds a checkpoint in Hugging Face's format."""
    return (path / "config.json").is_file() and any(path.glob("*.safetensors"))
