"""Which models can be quantized and measured; read in a job whenever a panel is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.ui.jobs import Job, Reactions

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.library import Library, LibraryModel
    from localllm.progress import Progress
    from localllm.ui.services import Services

    _Found = tuple[list[LibraryModel], LibraryModel | None]


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
        self._wanted: LibraryModel | Path | None = None

    def refresh(self, wanted: LibraryModel | Path | None = None) -> None:
        """Read them; the wanted one is to be chosen then, and listed too if it lies elsewhere."""
        wanted = self._wanted = wanted or self._wanted
        library, first = self._services.library, self._first

        def work(_progress: Progress) -> _Found:
            first()
            return find_models(library, wanted)

        self._job = self._services.jobs.run(work, Reactions(succeeded=self._on_read, failed=self.failed.emit))

    def _on_read(self, found: _Found) -> None:
        if self.sender() is self._job:
            self._wanted = None
            self.listed.emit(*found)


def find_models(library: Library, wanted: LibraryModel | Path | None = None) -> _Found:
    """Return the models that can be used, and which of them is the wanted one.

    Raises:
        StoreError: The index cannot be read.
        BadModelFile: The wanted one lies elsewhere, and is no model.
    """
    found = [model for model in library.models() if model.problem is None]
    chosen = None
    if wanted is not None:
        path = wanted if isinstance(wanted, Path) else wanted.path
        chosen = next((model for model in found if model.path == path), None)
        if chosen is None:
            chosen = library.find(str(path)) if isinstance(wanted, Path) else wanted
            found.insert(0, chosen)
    for model in found:
        _ = model.path  # made when first asked for, which takes its time for 10,000
    return found, chosen
