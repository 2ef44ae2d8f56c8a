"""A message that waits in the composer for a model, and the search for a model that it can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.ui.jobs import Reactions
from localllm.ui.usual_load import load_as_usual

if TYPE_CHECKING:
    from localllm.core.library import LibraryModel
    from localllm.progress import Progress
    from localllm.ui.services import Services


@dataclass(frozen=True)
class Written:
    """What stands in the composer of a chat; `editing` is the message that it replaces."""

    chat_id: int | None
    words: str
    editing: int | None


class WaitingMessage(QObject):
    """Remembers what was sent before there was a model; only that may be sent by itself later.

    Signals:
        nothing_found: No model on this disk can be loaded.
        failed: The search failed. arg: the exception.
    """

    nothing_found = Signal()
    failed = Signal(object)

    def __init__(self, services: Services, parent: QObject) -> None:
        super().__init__(parent)
        self._services = services
        self._written: Written | None = None
        services.model.ejected.connect(self.forget)

    @property
    def waits(self) -> bool:
        """Whether there is one."""
        return self._written is not None

    def keep(self, written: Written) -> None:
        """Remember a message, in the place of any other."""
        self._written = written

    def forget(self) -> None:
        """Let it be a draft like any other."""
        self._written = None

    def take(self, written: Written) -> bool:
        """Return whether this is the message that waited, unchanged; none waits after this."""
        waited, self._written = self._written, None
        return waited == written

    def find_model(self, chat_id: int | None) -> None:
        """Load the chat's model, or the usual one, unless one is loaded or on its way."""
        if self._services.model.loading is not None:
            return
        store, library = self._services.store, self._services.library

        def work(_progress: Progress) -> LibraryModel | None:
            return library.usual(store.chat(chat_id).model_path if chat_id is not None else None)

        reactions = Reactions(succeeded=self._on_found, failed=self.failed.emit)
        self._services.jobs.run(work, reactions)

    def _on_found(self, found: LibraryModel | None) -> None:
        model = self._services.model
        if found is None:
            self.nothing_found.emit()
        elif model.loading is None and model.loaded is None:
            load_as_usual(self._services, found)
