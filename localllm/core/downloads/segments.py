"""Fetches one file over several connections and returns the hash of what was written.

Threads: one for each connection; one that takes the blocks in order, from memory while they are fresh, else
from the disk and checked, and feeds the hash of the whole file; one that has the disk keep what was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import httpx2

from localllm.core.downloads.pace import Gate
from localllm.core.downloads.part_file import BLOCK, THERE
from localllm.core.downloads.plan import LONGEST_RUN, SHORTEST_RUN, Plan
from localllm.core.downloads.transport import PIECE, Moved, OtherContent, Span
from localllm.core.hub.faults import network_error
from localllm.errors import DownloadError, HubError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from localllm.core.downloads.pace import Limiter
    from localllm.core.downloads.part_file import PartFile
    from localllm.core.downloads.plan import Run
    from localllm.core.downloads.transport import Answer, Location, RemotePath, Transport
    from localllm.progress import Progress

_REPORT_SECONDS = 0.2
_SYNC_SECONDS = 1.0
_LEAST_BYTES = 4096  # in the time of a stall; less is a stall, too
_FIRST_PIECE, _PIECE_SECONDS = 1 << 14, 0.2
_BAD_READS = 3  # of one block
_WORTH = 20  # a request takes this many times as long as it waits for its first byte


@dataclass(frozen=True)
class Means:
    """What a download works with.

    Attributes:
        patience: Seconds without a byte after which it gives up.
    """

    transport: Transport
    limiter: Limiter
    connections: int = 4
    stall: float = 12.0
    patience: float = 3600.0


@dataclass(frozen=True)
class Hashes:
    """Of the whole file: SHA-256, and what git would call it (SHA-1 with a head)."""

    sha256: str
    git: str


class _Source:
    """Where the bytes are, asked for once for all connections."""

    def __init__(self, part: PartFile, path: RemotePath, transport: Transport, gate: Gate) -> None:
        self._part = part
        self._gate = gate
        self._path = path
        self._transport = transport
        self._lock = threading.Lock()
        self._known: Location | None = None

    def current(self) -> Location | None:
        """Return it; None if the download is being stopped."""
        with self._lock:
            if self._known is None:
                if not self._gate.pass_through():
                    return None
                found = self._transport.locate(self._path)
                self._check(found)
                self._known = found
            return self._known

    def forget(self, location: Location | None = None) -> None:
        """Have the Hub asked again, unless that has been done since it gave this location."""
        with self._lock:
            if location is None or self._known is location:
                self._known = None

    def _check(self, found: Location) -> None:
        wanted = self._part.identity
        other_content = wanted.sha256 and found.sha256 and found.sha256 != wanted.sha256
        other_size = found.size is not None and found.size != wanted.size
        if other_content or other_size or (found.commit and found.commit != wanted.commit):
            raise replaced(wanted.file)


class SegmentedFetch:
    """One file, from whatever is there of it to all of it."""

    def __init__(self, part: PartFile, path: RemotePath, means: Means) -> None:
        self._part = part
        self._path = path
        self._means = means
        self._stop = threading.Event()
        self._plan = Plan(part, means.connections, self._stop)
        self._gate = Gate(means.patience, self._stop)
        self._source = _Source(part, path, means.transport, self._gate)
        self._lock = threading.Lock()
        self._answers: set[Answer] = set()
        self._stream_owner: int | None = None
        self._wished, self._latency = SHORTEST_RUN, 60.0
        self._error: BaseException | None = None
        self._hashes: Hashes | None = None

    def run(self, progress: Progress) -> Hashes:
        """Fetch what is missing.

        Raises:
            HubError: It cannot be had.
            DownloadError: The file was replaced at its source, or the disk is at fault.
            OSError: It cannot be written.
            Cancelled: The progress was cancelled.
        """
        threads = self._threads()
        for thread in threads:
            thread.start()
        try:
            while self._hashes is None and self._error is None:
                progress.update(self._plan.done, self._part.identity.size, self._gate.note)
                self._stop.wait(_REPORT_SECONDS)
        finally:
            self._end(threads)
        if self._error is not None:
            raise self._error
        if self._hashes is None:
            raise AssertionError
        progress.update(self._part.identity.size, self._part.identity.size)
        return self._hashes

    def _threads(self) -> list[threading.Thread]:
        missing = self._part.count - self._part.states.count(THERE)
        connections = min(self._means.connections, max(1, missing))
        jobs: list[Callable[[], None]] = [lambda n=n: self._connection(n) for n in range(connections)]
        return [
            threading.Thread(target=self._guarded, args=(job,), name="download", daemon=True)
            for job in (*jobs, self._verify, self._keep_syncing)
        ]

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - `run` raises it in the caller's thread
            self._error = self._error or error
            self._stop.set()

    def _end(self, threads: list[threading.Thread]) -> None:
        self._stop.set()
        self._means.limiter.wake()
        self._plan.wake()
        with self._lock:
            for answer in self._answers:
                answer.interrupt()
        for thread in threads:
            thread.join()

    # --- connections

    def _connection(self, number: int) -> None:
        with self._part.open_writer() as file:
            while (run := self._plan.take(self._wished)) is not None:
                try:
                    if self._stream_owner is None:
                        self._until_done(
                            lambda place, run=run: self._receive_run(run, file, number, place), run
                        )
                finally:
                    self._plan.give_back(run)
                if self._stream_owner == number:
                    self._until_done(lambda place: self._receive_stream(file, place), None)
                elif self._stream_owner is not None:
                    return

    def _until_done(self, receive: Callable[[Location], bool], run: Run | None) -> None:
        """Try until it is received, somebody else takes over, or it makes no sense."""
        failures, before = 0, run.position if run else 0
        while not self._stop.is_set():
            location: Location | None = None
            try:
                location = self._source.current()
                if location is None or not self._gate.pass_through() or receive(location):
                    return
            except OtherContent as other:
                self._take_over(other)
            except Moved:
                self._source.forget(location)
                failures += 1
                if failures > 2:
                    self._gate.failed(_expired())
            except HubError as error:
                if not error.passing:
                    raise
                self._gate.failed(error)
                failures += 1
            if run is not None and run.position > before:
                failures, before = 0, run.position
            elif failures > 1 and location is not None:
                self._source.forget(location)

    def _receive_run(self, run: Run, file: IO[bytes], number: int, place: Location) -> bool:
        asked_to = run.end
        began = time.monotonic()
        with self._opened(place, Span(run.position, asked_to, self._part.identity.size)) as answer:
            if answer.whole:
                with self._lock:
                    if self._stream_owner is None:
                        self._stream_owner = number
                run.restart_block()
                return True
            watch = _Watch(self._means.stall, began)
            start = run.position
            while run.position < run.end and not self._stop.is_set():
                self._take(answer, run, file, watch)
            answer.complete = run.position >= asked_to
        self._latency = min(self._latency, watch.latency)
        self._wished = watch.worth(run.position - start, self._latency)
        return run.position >= run.end

    def _receive_stream(self, file: IO[bytes], place: Location) -> bool:
        """Receive the whole file from its beginning, for a host that cannot send parts."""
        size = self._part.identity.size
        with self._opened(place, Span(0, size, size)) as answer:
            watch = _Watch(self._means.stall, time.monotonic())
            for block in range(self._part.count):
                run = self._plan.claim(block)
                left = self._part.length(block)
                try:
                    while left and not self._stop.is_set():
                        left -= self._take(answer, run, file, watch, left)
                finally:
                    if run is not None:
                        self._plan.give_back(run)
        return True

    def _take(
        self, answer: Answer, run: Run | None, file: IO[bytes], watch: _Watch, most: int = PIECE
    ) -> int:
        """Receive a piece into a run, or without one to nowhere; return its length."""
        size = min(most, watch.size)
        room = run.room(size) if run is not None else memoryview(bytearray(size))
        count = answer.read_into(room)
        watch.note(count, answer.host)
        if run is not None:
            run.write(file, room[:count])
        self._gate.succeeded()
        self._means.limiter.take(count, self._stop)
        return count

    @contextlib.contextmanager
    def _opened(self, place: Location, span: Span) -> Generator[Answer]:
        answer = self._means.transport.open_range(self._path, place, span, self._part.identity.etag)
        try:
            with self._lock:
                self._keep_etag(answer.etag)
                self._answers.add(answer)
            yield answer
        finally:
            with self._lock:
                self._answers.discard(answer)
                answer.finish()

    def _keep_etag(self, etag: str) -> None:
        known = self._part.identity.etag
        if etag and not known:
            self._part.set_etag(etag)
        elif etag and etag != known:
            raise OtherContent(etag)

    def _take_over(self, other: OtherContent) -> None:
        """Decide about another ETag: the same file at another host, or another file.

        What the Hub says of it is asked for anew, and the hash of the whole decides at last.
        """
        wanted = self._part.identity
        if wanted.sha256 is None:
            raise replaced(wanted.file)
        self._source.forget()
        with self._lock:
            self._part.set_etag(other.etag)

    # --- disk

    def _verify(self) -> None:
        sha256, count = hashlib.sha256(), self._part.count
        git = hashlib.sha1(b"blob %d\0" % self._part.identity.size, usedforsecurity=False)
        block, bad = 0, dict[int, int]()
        while block < count:
            if self._part.states[block] != THERE:
                if self._stop.is_set():
                    return
                self._plan.fresh.starve()
                continue
            fresh = self._plan.fresh.pop(block)
            content = fresh or self._part.read_block(block)
            if content is None:
                bad[block] = bad.get(block, 0) + 1
                if bad[block] >= _BAD_READS:
                    raise _bad_disk(self._part)
                self._plan.miss(block)
                continue
            view = memoryview(content)[: self._part.length(block)]
            sha256.update(view)
            if self._part.identity.sha256 is None:
                git.update(view)
            if fresh is not None:
                self._plan.fresh.give_back(fresh)
            block += 1
        self._part.sync()
        self._hashes = Hashes(sha256.hexdigest(), git.hexdigest())
        self._plan.wake(finished=True)
        self._stop.set()

    def _keep_syncing(self) -> None:
        while not self._stop.wait(_SYNC_SECONDS):
            self._part.sync()


class _Watch:
    """Sees when an answer as good as stops, and how large pieces and requests are worth while.

    Attributes:
        size: Bytes to ask for next: what comes in a moment, so that progress is seen and kept.
    """

    def __init__(self, stall: float, began: float) -> None:
        self._stall = stall
        self._began = began
        self._first: float | None = None
        self._window = self._last = began
        self._count = 0
        self.size = _FIRST_PIECE

    def note(self, count: int, host: str) -> None:
        now = time.monotonic()
        self._first = self._first or now
        self._count += count
        quick = now - self._last < _PIECE_SECONDS
        self.size = min(PIECE, self.size * 2) if quick else max(_FIRST_PIECE, self.size // 2)
        self._last = now
        if now - self._window >= self._stall:
            if self._count < _LEAST_BYTES:
                raise network_error(httpx2.ReadTimeout("trickle"), host)
            self._window, self._count = now, 0

    @property
    def latency(self) -> float:
        """Seconds to the first byte."""
        return (self._first or time.monotonic()) - self._began

    def worth(self, received: int, latency: float) -> int:
        """Return how many blocks the next request should have."""
        if self._first is None or received < BLOCK:
            return SHORTEST_RUN
        rate = received / max(1e-6, time.monotonic() - self._first)  # bytes per second
        return min(LONGEST_RUN, max(SHORTEST_RUN, int(_WORTH * latency * rate / BLOCK)))


class Replaced(DownloadError):
    """The file is another one now; what was fetched of it is of no use."""


def replaced(name: str) -> Replaced:
    """Return the error for a file that is another one now."""
    return Replaced(
        text("“{file}” was replaced by another version where it comes from.", file=name),
        safe=text("Nothing of the two versions was mixed."),
        hint=text("Start the download anew to get the present version."),
    )


def _expired() -> HubError:
    error = HubError(text("The address of the file expires as soon as the Hub has given it."))
    error.passing = True
    return error


def _bad_disk(part: PartFile) -> DownloadError:
    return DownloadError(
        text(
            "The disk with “{folder}” gives back other data than was written.", folder=str(part.path.parent)
        ),
        hint=text("Check the disk; do not keep anything important on it."),
    )
