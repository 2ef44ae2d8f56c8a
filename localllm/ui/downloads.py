"""The downloads as the window sees them: one queue, told of in the window's thread."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.errors import Cancelled
from localllm.ui.jobs import Reactions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.downloads.queue import DownloadQueue
    from localllm.core.downloads.records import Download, Request
    from localllm.core.library import Library
    from localllm.paths import Paths
    from localllm.progress import Progress
    from localllm.ui.hub_access import HubAccess
    from localllm.ui.jobs import JobRunner
    from localllm.ui.preferences import Preferences


class Downloads(QObject):
    """Works from `start` until `close`; everything is done in jobs.

    Signals:
        changed: `entries` are other ones, or further.
        added: Something was put into the queue. arg: `Download`.
        arrived: A model is complete, checked and in the library. arg: `LibraryModel`.
        forgotten: What is done was taken off the list. arg: a list of `Download`.
        failed: The queue itself cannot be used. arg: the exception.
    """

    changed = Signal()
    added = Signal(object)
    arrived = Signal(object)
    forgotten = Signal(object)
    failed = Signal(object)
    _told = Signal(object)

    def __init__(
        self, paths: Paths, preferences: Preferences, library: Library, hub: HubAccess, jobs: JobRunner
    ) -> None:
        super().__init__()
        self._paths, self._preferences, self._library = paths, preferences, library
        self._hub, self._jobs = hub, jobs
        self._lock = threading.Lock()
        self._queue: DownloadQueue | None = None
        self._closed = False
        self.entries: tuple[Download, ...] = ()
        self._told.connect(self._on_told)
        preferences.changed.connect(self._on_preference_changed)
        hub.network_changed.connect(self._reopen)

    @property
    def moving(self) -> int:
        """How many entries are not done and not stopped."""
        return sum(entry.state in ("queued", "running") for entry in self.entries)

    def find(self, repo: str, file: str) -> Download | None:
        """Return the entry that brings a file of a repository, the newest first."""
        for entry in reversed(self.entries):
            if entry.request.repo == repo and any(one.name == file for one in entry.request.files):
                return entry
        return None

    def find_quant(self, repo: str, quant: str) -> Download | None:
        """Return the entry that brings a quantization from a repository, the newest first."""
        for entry in reversed(self.entries):
            if entry.request.repo == repo and entry.request.title.endswith(f" {quant}"):
                return entry
        return None

    def start(self) -> None:
        """Go on with what was interrupted."""
        self._jobs.run(lambda _progress: self._open(), Reactions(failed=self.failed.emit))

    def close(self) -> None:
        """Stop within a second; what runs goes on at the next start."""
        self._closed = True
        with self._lock:
            queue, self._queue = self._queue, None
        if queue is not None:
            queue.close()

    def pull(self, words: str, failed: Callable[[Exception], object]) -> None:
        """Download what an address on the Hub or a name of the catalogue ("qwen3-8b:Q4_K_M") means.

        `failed` is a method of a `QObject`; it gets the exception.
        """

        def work(progress: Progress) -> Download:
            from localllm.core.downloads.requests import Place, find_request

            request = find_request(self._hub.hub(), words, Place(self._paths.models), progress)
            return self._open().add(request)

        self._jobs.run(work, Reactions(succeeded=self._on_added, failed=failed))

    def add(self, request: Request, failed: Callable[[Exception], object]) -> None:
        """Download a request; `failed` as for `pull`."""
        self._jobs.run(
            lambda _progress: self._open().add(request), Reactions(succeeded=self._on_added, failed=failed)
        )

    def pause(self, number: int) -> None:
        """Stop one for now."""
        self._do(lambda queue: queue.pause(number))

    def resume(self, number: int) -> None:
        """Let one go on."""
        self._do(lambda queue: queue.resume(number))

    def cancel(self, number: int) -> None:
        """Stop one for good; what arrived is deleted."""
        self._do(lambda queue: queue.cancel(number))

    def move(self, number: int, before: int | None) -> None:
        """Put one before another, or at the end."""
        self._do(lambda queue: queue.move(number, before))

    def forget_finished(self) -> None:
        """Take what is done off the list."""
        self._do(lambda queue: self.forgotten.emit(queue.forget_finished()))

    def put_back(self, finished: Sequence[Download]) -> None:
        """List again what was taken off."""
        self._do(lambda queue: queue.put_back(finished))

    def _do(self, act: Callable[[DownloadQueue], object]) -> None:
        def work(_progress: Progress) -> None:
            queue = self._open()
            act(queue)
            self._told.emit(queue.downloads())

        self._jobs.run(work, Reactions(failed=self.failed.emit))

    def _open(self) -> DownloadQueue:
        from localllm.core.downloads.arrivals import Arrivals, removable_of
        from localllm.core.downloads.queue import DownloadQueue
        from localllm.core.models_folder import require_models_folder

        hub = self._hub.hub()
        with self._lock:
            if self._closed:
                raise Cancelled
            if self._queue is None:
                arrivals = Arrivals(self._library, self.arrived.emit)
                queue = DownloadQueue(
                    self._paths.downloads_file,
                    hub,
                    arrivals.take,
                    removable=lambda: removable_of(self._library),
                )
                queue.require = partial(require_models_folder, self._paths)
                queue.set_limit(self._preferences.settings.download_limit)
                queue.observe(self._told.emit)
                if not hub.offline:
                    queue.start()
                self._queue = queue
                self._told.emit(queue.downloads())
            return self._queue

    def _reopen(self) -> None:
        def work(_progress: Progress) -> None:
            with self._lock:
                queue, self._queue = self._queue, None
            if queue is not None:
                queue.close()
            self._open()

        self._jobs.run(work, Reactions(failed=self.failed.emit))

    def _on_told(self, entries: list[Download]) -> None:
        self.entries = tuple(entries)
        self.changed.emit()

    def _on_added(self, entry: Download) -> None:
        self.added.emit(entry)
        self._do(lambda _queue: None)

    def _on_preference_changed(self, name: str) -> None:
        if name == "download_limit":
            limit = self._preferences.settings.download_limit
            self._do(lambda queue: queue.set_limit(limit))
