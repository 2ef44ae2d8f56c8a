"""Which models can be measured; read in a job whenever a panel is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.ui.jobs import Job, Reactions

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.library import Library, LibraryModel
    from localllm.ui.services import Services


class ModelListing(QObject):
    """Reads the models of the library.

    Signals:
        listed: args: the models, and the one that was asked for or None.
        failed: arg: the exception.
    """

    listed = Signal(object, object)
    failed = Signal(object)

    def __init__(
        self, services: Services, parent: QObject, first: Callable[[], object] = lambda: None
    ) -> None:
        """`first` is called in each job before: it imports what the window needs afterwards."""
        super().__init__(parent)
        self._services, self._first = services, first
        self._job: Job | None = None
        self._wanted: LibraryModel | None = None

    def refresh(self, wanted: LibraryModel | None = None) -> None:
        """Read them; `wanted` is to be chosen then."""
        self._wanted = wanted or self._wanted
        library, first = self._services.library, self._first
        reactions = Reactions(succeeded=self._on_read, failed=self.failed.emit)
        self._job = self._services.jobs.run(lambda _progress: (first(), find_models(library))[1], reactions)

    def _on_read(self, models: list[LibraryModel]) -> None:
        if self.sender() is self._job:
            wanted, self._wanted = self._wanted, None
            self.listed.emit(models, wanted)


def find_models(library: Library) -> list[LibraryModel]:
    """Return the models that can be measured.

    Raises:
        StoreError: The index cannot be read.
    """
    found = [model for model in library.models() if model.problem is None]
    for model in found:
        _ = model.path  # made when first asked for, which takes its time for 10,000
    return found
