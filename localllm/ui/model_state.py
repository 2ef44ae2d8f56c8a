"""The model that is loaded now, as the window sees it: loading, loaded, ejected, refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.ui.jobs import HowFar, Job, JobRunner, Reactions

if TYPE_CHECKING:
    from localllm.core.library import LibraryModel, LoadProfile
    from localllm.core.session import ModelSession
    from localllm.engine.protocol import LoadedModel, LoadSettings
    from localllm.progress import Progress
    from localllm.ui.jobs import Work


class ModelState(QObject):
    """Loads and ejects in jobs, one at a time.

    Signals:
        changed: Another model is loaded, or none, or one is being loaded.
        progressed: args: fraction 0 to 1 of the model that is being loaded; why it takes long, or None.
        failed: It was not loaded. arg: the exception.
        ejected: Somebody wants no model, or gave up loading one.
    """

    changed = Signal()
    progressed = Signal(float, object)
    failed = Signal(object)
    ejected = Signal()

    def __init__(self, session: ModelSession, jobs: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._jobs = session, jobs
        self._job: Job | None = None
        self._loaded: LoadedModel | None = None
        self.wanted: tuple[LibraryModel, LoadSettings] | None = None
        self.profile: LoadProfile | None = None  # that goes with it

    @property
    def loading(self) -> LibraryModel | None:
        """The model that is being loaded."""
        return self.wanted[0] if self._job is not None and self.wanted is not None else None

    @property
    def name(self) -> str:
        """What the loaded model is called in the library, or the one that was wanted last."""
        if self.loaded is not None:
            return self.loaded.name
        return self.wanted[0].name if self.wanted is not None else ""

    @property
    def loaded(self) -> LoadedModel | None:
        """The model that answers; also while its engine has ended, for the next message starts another."""
        return None if self._job is not None else self._loaded

    def load(
        self,
        model: LibraryModel,
        settings: LoadSettings,
        *,
        anyway: bool = False,
        profile: LoadProfile | None = None,
    ) -> None:
        """Load a model in the place of the one that is there; what `profile` says of chats holds with it."""
        if self._job is not None:
            self._job.cancel()
        self.wanted, self.profile = (model, settings), profile

        def work(progress: Progress) -> object:
            return self._session.load(model, settings, progress, anyway=anyway)

        self._start(work)

    def load_anyway(self) -> None:
        """Load what was refused for lack of memory."""
        if self.wanted is not None:
            self.load(*self.wanted, anyway=True, profile=self.profile)

    def eject(self) -> None:
        """Free the memory, or give up loading."""
        self.ejected.emit()
        if self._job is not None:
            self._job.cancel()
        else:
            self.wanted = self.profile = None
            self._start(lambda _progress: self._session.unload())

    def _start(self, work: Work) -> None:
        self._loaded = None
        reactions = Reactions(
            progressed=self._on_progressed,
            succeeded=self._on_succeeded,
            failed=self._on_failed,
            finished=self._on_finished,
        )
        self._job = self._jobs.run(work, reactions)
        self.changed.emit()

    def _on_progressed(self, how_far: HowFar) -> None:
        if self.sender() is self._job:
            fraction = how_far.done / how_far.total if how_far.total else 0.0
            self.progressed.emit(fraction, how_far.note)

    def _on_succeeded(self, loaded: LoadedModel | None) -> None:
        if self.sender() is self._job:
            self._loaded = loaded

    def _on_failed(self, error: Exception) -> None:
        if self.sender() is self._job:
            self.failed.emit(error)

    def _on_finished(self) -> None:
        if self.sender() is self._job:
            self._job = None
            if self._loaded is None:  # refused or given up: the model before may still be there
                self._loaded = self._session.loaded
            self.changed.emit()
