"""The queue of downloads: one after the other, over restarts, beside other programs of the same user.

Who works on an entry holds its lock file, which the system frees with the process. What others want of it
(pause, cancel) they write into the store; the worker looks there once a second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import shutil
import threading
import time
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from localllm.core.downloads.fetch import Fetcher, missing_bytes
from localllm.core.downloads.pace import Limiter
from localllm.core.downloads.segments import Means
from localllm.core.downloads.space import check_space, disk_error
from localllm.core.downloads.store import DownloadStore
from localllm.core.downloads.transport import Transport
from localllm.errors import Cancelled, LocalLLMError, NotEnoughDisk, StoreError
from localllm.progress import Progress
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from localllm.core.downloads.records import Download, Provenance, Removable, Request
    from localllm.core.hub.client import Hub

PARTS_FOLDER = ".downloads"  # in the folder of the models, so that a finished file only changes its name
_LOOK_SECONDS = 1.0
_SPACE_SECONDS = 10.0  # between two looks whether there is room now
_SPEED_SECONDS = 5.0  # over which the speed is smoothed

_log = logging.getLogger(__name__)


class DownloadQueue:
    """All downloads of this user; may be used from any thread.

    Observers are called with the whole queue, in a thread of the queue, four times a second while something
    moves. `on_file` is called for every verified file that has its name, `require` with a folder before
    anything is written there; it raises StoreError for one that is away.

    Raises, from every method:
        StoreError: The queue cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        hub: Hub,
        on_file: Callable[[Path, Provenance], None],
        *,
        removable: Callable[[], Sequence[Removable]] = tuple,
        connections: int = 4,
        patience: float = 3600.0,
    ) -> None:
        self._hub = hub
        self._on_file = on_file
        self._removable = removable
        self.require: Callable[[Path], object] = lambda _folder: None
        self._store = DownloadStore(path)
        self._prefix = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]
        self._transport = Transport(hub.endpoint, hub.authorization, connections=connections)
        self.limiter = Limiter()
        self._means = Means(self._transport, self.limiter, connections=connections, patience=patience)
        self._observers: list[Callable[[list[Download]], None]] = []
        self._lock = threading.Lock()
        self._live: dict[int, Download] = {}
        self._running: dict[int, Progress] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._no_room: dict[int, float] = {}

    # --- what people do

    def add(self, request: Request) -> Download:
        """Put a request into the queue; what is in it already goes on.

        Raises:
            NotEnoughDisk: It does not fit; nothing was added.
        """
        self.require(request.folder)
        if self._store.find(request) is None:
            check_space(request.folder, missing_bytes(request), self._removable())
        added = self._store.add(request)
        if added.state in ("paused", "failed"):
            self._store.wish(added.id, "run")
        self._look_again()
        return self._store.get(added.id) or added

    def downloads(self) -> list[Download]:
        """Return the queue in order, with the latest figures of what runs here."""
        stored = self._store.all()
        with self._lock:
            live = dict(self._live)
        return [_merged(entry, live.get(entry.id)) for entry in stored]

    def pause(self, number: int) -> None:
        """Stop for now; what arrived is kept."""
        self._store.wish(number, "pause")
        self._stop_running(number)

    def resume(self, number: int) -> None:
        """Let it go on, also after it failed."""
        self._no_room.pop(number, None)
        self._store.wish(number, "run")
        self._look_again()

    def cancel(self, number: int) -> None:
        """Stop for good and delete what arrived."""
        self._store.wish(number, "cancel")
        self._stop_running(number)
        self._clear_cancelled()

    def works_on(self, number: int) -> bool:
        """Return whether this program is the one that works on it."""
        with self._lock:
            return number in self._running

    def move(self, number: int, before: int | None) -> None:
        """Put it before another one, or at the end."""
        self._store.move(number, before)
        self._look_again()

    def forget_finished(self) -> list[Download]:
        """Take what is done off the list; return it."""
        finished = [entry for entry in self._store.all() if entry.state == "done"]
        for entry in finished:
            self._store.remove(entry.id)
        self._look_again()
        return finished

    def put_back(self, finished: Sequence[Download]) -> None:
        """List again what `forget_finished` took off."""
        self._store.put_back(finished)
        self._look_again()

    def set_limit(self, mib_per_second: float) -> None:
        """Limit the bandwidth from now on; 0 = without limit."""
        self.limiter.set_rate(mib_per_second * 2**20)

    def observe(self, observer: Callable[[list[Download]], None]) -> None:
        """Call this at every change."""
        self._observers.append(observer)

    # --- work

    def start(self) -> None:
        """Begin to work through the queue in a thread; what was interrupted goes on."""
        self._thread = threading.Thread(target=self._work, name="downloads", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop working; what runs is queued and goes on at the next start."""
        self._closing.set()
        self._wake.set()
        with self._lock:
            running = list(self._running.values())
        for progress in running:
            progress.cancel()
        if self._thread:
            self._thread.join()
        self._transport.close()
        self._store.close()

    def run(self, number: int, progress: Progress) -> Download | None:
        """Work on one entry in this thread, or follow the program that does; return how it stands at last.

        Args:
            number: The entry's.
            progress: Told bytes done and in all; cancelling it leaves the entry in the queue.

        Raises:
            LocalLLMError: Why it failed.
            Cancelled: The progress was cancelled.
        """
        while True:
            entry = self._store.get(number)
            if entry is None or entry.state in ("done", "failed") or entry.wish != "run":
                self._clear_cancelled()
                return entry
            with self._owned(entry) as owned:
                if owned:
                    self._run_owned(entry, progress, raising=True)
                    continue
            progress.update(entry.done, entry.request.size, entry.note)
            self._closing.wait(_LOOK_SECONDS)

    def sweep(self) -> int:
        """Delete parts that belong to no entry; return how many folders that were."""
        self._clear_cancelled()
        known = {self._work_folder(entry).name for entry in self._store.all() if entry.state != "done"}
        swept = 0
        for folder in self._store.folders():
            parts = folder / PARTS_FOLDER
            for found in parts.glob(f"{self._prefix}-*"):
                if found.name not in known and found.is_dir():
                    shutil.rmtree(found, ignore_errors=True)
                    swept += 1
            with contextlib.suppress(OSError):
                parts.rmdir()  # only if it is empty
        return swept

    def _work(self) -> None:
        seen = -1
        with self._logged():
            self.sweep()
        while not self._closing.is_set():
            with self._logged():
                self._clear_cancelled()
                if not self._run_next():
                    self._wake.wait(_LOOK_SECONDS)
                woken, now = self._wake.is_set(), self._store.changed_outside()
                self._wake.clear()
                if woken or now != seen:
                    self._tell()
                seen = now

    @contextlib.contextmanager
    def _logged(self) -> Generator[None]:
        """Go on although the queue could not be read or written for a moment, as on a full disk."""
        try:
            yield
        except LocalLLMError as error:
            _log.warning("Downloads: %s %s", error, error.detail)
            self._closing.wait(_LOOK_SECONDS)

    def _run_next(self) -> bool:
        if self._hub.offline:
            return False
        now = time.monotonic()
        for entry in self._store.all():
            waiting = now - self._no_room.get(entry.id, -_SPACE_SECONDS) < _SPACE_SECONDS
            if entry.wish == "run" and entry.state in ("queued", "running") and not waiting:
                with self._owned(entry) as owned:
                    if owned:
                        self._run_owned(entry, Progress(), raising=False)
                        return True
        return False

    @contextlib.contextmanager
    def _owned(self, entry: Download) -> Generator[bool]:
        """Hold an entry's lock, if nobody else does and it still wants to run."""
        folder = self._work_folder(entry)
        lock = FileLock(folder / "lock", timeout=0)
        try:
            self.require(entry.request.folder)
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            yield False
            return
        except StoreError as error:
            self._failed(entry, error, entry.done)
            yield False
            return
        except OSError as error:
            self._failed(entry, disk_error(error, entry.request.folder, entry.request.size), entry.done)
            yield False
            return
        try:
            now = self._store.get(entry.id)
            yield now is not None and now.wish == "run" and now.state in ("queued", "running")
        finally:
            lock.release()
            now = self._store.get(entry.id)
            if now is None or now.state == "done":
                self._remove_work(entry)

    def _run_owned(self, entry: Download, outer: Progress, *, raising: bool) -> None:
        meter = _Meter(entry, lambda live: self._report(live, outer), self._store)
        progress = Progress(meter.update)
        with self._lock:
            self._running[entry.id] = progress
        self._store.change(entry.id, state="running", note=None)
        try:
            fetcher = Fetcher(
                entry.request, self._work_folder(entry), self._hub, self._means, self._removable
            )
            fetcher.run(progress, self._on_file)
            self._store.change(entry.id, state="done", done=entry.request.size, speed=0.0, note=None)
        except Cancelled:
            self._stopped(entry, meter)
            outer.raise_if_cancelled()
        except LocalLLMError as error:
            self._failed(entry, error, meter.done)
            if raising:
                raise
        finally:
            with self._lock:
                self._running.pop(entry.id, None)
                self._live.pop(entry.id, None)
            self._tell()

    def _stopped(self, entry: Download, meter: _Meter) -> None:
        now = self._store.get(entry.id)
        if now is None or now.wish == "cancel":
            return
        state = "paused" if now.wish == "pause" else "queued"
        self._store.change(entry.id, state=state, done=meter.done, speed=0.0, note=None)

    def _failed(self, entry: Download, error: LocalLLMError, done: int) -> None:
        waits = isinstance(error, NotEnoughDisk)
        if waits:
            self._no_room[entry.id] = time.monotonic()
        elif error.detail:
            _log.info("A download failed: %s", error.detail)
        sentences = error.sentences()
        note = (
            sentences[0]
            if len(sentences) == 1
            else text("{what} {next}", what=sentences[0], next=sentences[-1])
        )
        state = "queued" if waits else "failed"
        self._store.change(entry.id, state=state, done=done, speed=0.0, note=note)

    def _report(self, live: Download, outer: Progress) -> None:
        with self._lock:
            self._live[live.id] = live
        self._tell()
        outer.update(live.done, live.request.size, live.note)

    def _clear_cancelled(self) -> None:
        for entry in self._store.all():
            if entry.wish != "cancel":
                continue
            folder = self._work_folder(entry)
            lock = FileLock(folder / "lock", timeout=0)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with lock:
                    self._store.remove(entry.id)
            except (OSError, Timeout):
                continue  # who works on it sees the wish and removes it
            self._remove_work(entry)
            self._look_again()

    def _remove_work(self, entry: Download) -> None:
        folder = self._work_folder(entry)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()

    def _work_folder(self, entry: Download) -> Path:
        return entry.request.folder / PARTS_FOLDER / f"{self._prefix}-{entry.key}"

    def _stop_running(self, number: int) -> None:
        with self._lock:
            progress = self._running.get(number)
        if progress:
            progress.cancel()
        self._look_again()

    def _look_again(self) -> None:
        self._wake.set()

    def _tell(self) -> None:
        if self._observers:
            entries = self.downloads()
            for observer in self._observers:
                observer(entries)


class _Meter:
    """Turns bytes into speed, writes both down once a second, and looks there what others want."""

    def __init__(self, entry: Download, report: Callable[[Download], None], store: DownloadStore) -> None:
        self._entry = entry
        self._report = report
        self._store = store
        self._last: tuple[float, float] | None = None
        self._speed = 0.0
        self._stored = 0.0
        self.done = entry.done

    def update(self, done: float, _total: float, note: Text | None) -> None:
        """Take what the download says of itself.

        Raises:
            Cancelled: Somebody wants it paused or cancelled.
        """
        now = time.monotonic()
        self._measure(now, done)
        self.done = int(done)
        if now - self._stored >= _LOOK_SECONDS:
            self._stored = now
            self._write_down(note)
        live = dataclasses.replace(self._entry, state="running", done=self.done, speed=self._speed, note=note)
        self._report(live)

    def _write_down(self, note: Text | None) -> None:
        with contextlib.suppress(StoreError):  # figures only: a full disk is said by the file's own writing
            self._store.change(self._entry.id, done=self.done, speed=self._speed, note=note)
        entry = self._store.get(self._entry.id)
        if entry is None or entry.wish != "run":
            raise Cancelled

    def _measure(self, now: float, done: float) -> None:
        if self._last is None or done < self._last[1]:
            self._last = (now, done)
            return
        seconds = now - self._last[0]
        if seconds <= 0.05:
            return
        rate = (done - self._last[1]) / seconds
        weight = 1.0 if not self._speed else min(1.0, seconds / _SPEED_SECONDS)
        self._speed += weight * (rate - self._speed)
        self._last = (now, done)


def _merged(stored: Download, live: Download | None) -> Download:
    if live is None or stored.state != "running":
        return stored
    return dataclasses.replace(stored, done=live.done, speed=live.speed, note=live.note)
