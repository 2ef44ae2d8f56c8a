"""Keeps what is set in the chat options with the chat, and finds the adapters that can be chosen there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QFileDialog

from localllm.core.library.adapters import look_for_adapters, take_adapter
from localllm.ui.errors import errors_shown
from localllm.ui.jobs import Reactions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PySide6.QtWidgets import QWidget

    from localllm.core.library.adapters import LibraryAdapter
    from localllm.engine.protocol import Adapter
    from localllm.ui.pages.chat_options import ChatOptionsPanel
    from localllm.ui.services import Services


class ChatKeeping(QObject):
    """Stores each change with the chat that `chat_id` returns; `refuse` is told what could not be done."""

    def __init__(
        self,
        services: Services,
        panel: ChatOptionsPanel,
        page: QWidget,
        chat_id: Callable[[], int],
        refuse: Callable[[Exception], object],
    ) -> None:
        super().__init__(page)
        self._services, self._adapters, self._page = services, panel.adapters, page
        self._chat_id, self._refuse = chat_id, refuse
        panel.prompt_edited.connect(self._on_prompt)
        panel.promptless_edited.connect(self._on_promptless)
        panel.sampling_edited.connect(self._on_sampling)
        panel.adapters.edited.connect(self._on_adapters)
        panel.adapters.choice_wanted.connect(self._look_for_adapters)
        panel.adapters.file_wanted.connect(self._on_file_wanted)

    def take_file(self, name: str) -> None:
        """Check an adapter's file, put it on the list and add it to the chat."""
        library = self._services.library
        reactions = Reactions(succeeded=lambda found: self._adapters.take(found.path), failed=self._refuse)
        self._services.jobs.run(lambda progress: take_adapter(library, Path(name), progress), reactions)

    def _on_prompt(self, prompt: str) -> None:
        with errors_shown(self._refuse):
            self._services.store.set_system_prompt(self._chat_id(), prompt)

    def _on_promptless(self, promptless: bool) -> None:  # noqa: FBT001 - of a signal
        with errors_shown(self._refuse):
            self._services.store.set_promptless(self._chat_id(), promptless=promptless)

    def _on_sampling(self, chosen: Mapping[str, object]) -> None:
        with errors_shown(self._refuse):
            self._services.store.set_sampling(self._chat_id(), chosen)

    def _on_adapters(self, adapters: tuple[Adapter, ...]) -> None:
        with errors_shown(self._refuse):
            self._services.store.set_adapters(self._chat_id(), adapters)

    def _look_for_adapters(self) -> None:
        library = self._services.library
        reactions = Reactions(succeeded=self._offer, failed=self._refuse)
        self._services.jobs.run(lambda progress: look_for_adapters(library, progress), reactions)

    def _offer(self, found: Sequence[LibraryAdapter]) -> None:
        loaded = self._services.model.loaded
        self._adapters.offer(found, loaded.architecture if loaded is not None else "")

    def _on_file_wanted(self) -> None:
        dialog = QFileDialog(self._page, self.tr("Open a LoRA adapter"), str(Path.home()))
        dialog.setNameFilters([self.tr("GGUF adapters (*.gguf)"), self.tr("All files (*)")])
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.take_file)
        dialog.open()
