"""The engine as the rest of the program sees it: load a model, count tokens, write an answer."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from localllm.engine.backends import WITHOUT, blamed_backend
from localllm.engine.benches import read_bench_event
from localllm.engine.drivers import FailedDrivers
from localllm.engine.passes import ChunkDone, ChunkScore, OwnText, PassStart
from localllm.engine.protocol import (
    Adapter,
    BenchTest,
    ChatMessage,
    DeviceBuffers,
    DryRun,
    EngineEvent,
    Finished,
    LoadedModel,
    LoadSettings,
    Piece,
    PromptProgress,
    Quantize,
    Sampling,
    Stats,
    TensorStep,
    buffers_from_records,
    from_record,
    model_from_record,
    to_record,
)
from localllm.engine.request import Request, died
from localllm.errors import Cancelled, EngineDied, EngineError
from localllm.paths import Paths
from localllm.processes import Child, Death, Message, python_arguments
from localllm.progress import Progress
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from localllm.engine.benches import BenchEvent
    from localllm.engine.passes import ImatrixEvent, Reference, ScoreEvent, TextPass

START_SECONDS = 30.0
_POLL_SECONDS = 0.1
_CHILD_MODULE = "localllm.engine.child"
_COMPILES = "Vulkan"  # the backend whose drivers compile as a model is loaded
_PREPARES = text("The graphics driver prepares its programs; the first time can take minutes.")


class Engine:
    """One child process with at most one loaded model; may be used from any thread, one request at a time.

    Args:
        without: Parts of the engine that it is to do without, because they crash on this computer; those that
            are known to fail as it starts are left out anyway.

    Raises, from every request:
        EngineDied: The process ended; make a new engine.
        LocalLLMError: What the engine refused.
    """

    def __init__(self, without: Sequence[str] = ()) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Message | Death]] = {}
        self._lock = threading.Lock()
        self._ready: queue.SimpleQueue[Message | Death] = queue.SimpleQueue()
        self.loaded: LoadedModel | None = None
        self.adapters: tuple[Adapter, ...] = ()  # that are laid over it now
        self.backends = ""  # what it computes with besides the processor, once it is ready: "Vulkan,BLAS"
        self._drivers = FailedDrivers(Paths.for_user().failed_drivers_file)
        known = (part for part in self._drivers.left_out if part not in without)
        self.left_out = (*without, *known)
        self._child = self._start()

    def wait_until_ready(self, progress: Progress | None = None) -> None:
        """Return when the child has loaded its libraries, without those in which it crashed or hung.

        Which these were is remembered for later starts.

        Raises:
            EngineDied: It did not come up.
            Cancelled: Through `progress`.
        """
        first, in_time = self._first_event(progress)
        failed: list[str] = []
        while isinstance(first, Death) and (first.crashed or not in_time):
            part = blamed_backend(first.last_lines)
            if not part or part in self.left_out:
                break
            failed.append(part)
            self.left_out += (part,)
            self._child = self._start()
            first, in_time = self._first_event(progress)
        self._ready.put(first)  # for the next one who asks
        if not in_time:
            raise EngineDied(text("The engine did not start within {seconds} s.", seconds=int(START_SECONDS)))
        if isinstance(first, Death):
            raise died(first, text("The engine could not start: {cause}.", cause=first.cause))
        self.backends = str(first.get("backends", ""))
        self._drivers.note_start(failed, self.left_out)

    def _start(self) -> Child:
        flags = [flag for part in self.left_out for flag in (WITHOUT, part)]
        arguments = python_arguments(_CHILD_MODULE, *flags)
        return Child(arguments, on_message=self._on_message, on_death=self._on_death)

    def _first_event(self, progress: Progress | None) -> tuple[Message | Death, bool]:
        """Return what the child said first or how it ended, and whether in time: one that hangs is ended."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            if progress is not None:
                progress.raise_if_cancelled()
            try:
                return self._ready.get(timeout=_POLL_SECONDS), True
            except queue.Empty:
                if time.monotonic() >= deadline:
                    break
        self._child.kill()
        while not isinstance(first := self._ready.get(), Death):
            continue  # it became ready too late
        return first, False

    @property
    def alive(self) -> bool:
        """Whether the process has not been seen to end."""
        return self._child.alive

    @property
    def busy(self) -> bool:
        """Whether something is being asked of it."""
        return bool(self._waiting)

    @property
    def pid(self) -> int:
        """The number of the child process."""
        return self._child.pid

    def load(self, path: Path, settings: LoadSettings, progress: Progress | None = None) -> LoadedModel:
        """Load a model in place of the one before.

        Raises:
            BadModelFile: The header breaks a rule, or llama.cpp refuses the file.
            Cancelled: Through `progress`; no model is loaded then.
        """
        progress = progress or Progress()
        for fraction in self.loading(path, settings, progress):
            if not progress.cancelled:
                progress.update(fraction, 1.0)
        if self.loaded is None:
            raise Cancelled
        return self.loaded

    def loading(self, path: Path, settings: LoadSettings, progress: Progress) -> Iterator[float]:
        """Load a model as `load` does; yields how far it is, from 0 to 1.

        `progress` is told why it takes so long where a graphics driver compiles its programs.
        """
        self.loaded = None
        fraction = 0.0

        def tell_why() -> None:
            if not progress.cancelled:
                progress.update(fraction, 1.0, _PREPARES)

        on_silence = tell_why if settings.gpu_layers and _COMPILES in self.backends else None
        with Request(self, "load", path=str(path), settings=to_record(settings)) as request:
            while (event := request.next(progress, on_silence=on_silence))["event"] != "loaded":
                fraction = event["fraction"]
                yield fraction
            self.loaded = model_from_record(event["model"])
            self.adapters = settings.adapters

    def adapt(self, adapters: Sequence[Adapter], progress: Progress | None = None) -> None:
        """Lay LoRA adapters over the loaded model, in the place of those before; it is not loaded again.

        Raises:
            AdapterRefused, BadModelFile, ModelNotFound: One cannot be used; those before stay.
            Cancelled: Through `progress`; those before stay.
        """
        wanted = tuple(adapters)
        if wanted == self.adapters:
            return
        with Request(self, "adapt", adapters=[to_record(adapter) for adapter in wanted]) as request:
            request.next(progress)
        self.adapters = wanted

    def count(self, messages: Sequence[ChatMessage], progress: Progress | None = None) -> int:
        """Return the tokens of the prompt that these messages make.

        Raises:
            Cancelled: Through `progress`.
        """
        with Request(self, "count", messages=[to_record(message) for message in messages]) as request:
            return request.next(progress)["tokens"]

    def generate(
        self, messages: Sequence[ChatMessage], sampling: Sampling, progress: Progress | None = None
    ) -> Iterator[EngineEvent]:
        """Write an answer; iterate for its events, the last is `Finished`.

        Cancelling `progress`, or dropping the iterator, stops the engine; what arrived was yielded before.
        An engine that does not stop by itself is ended, and the answer is `Finished` all the same.
        """
        progress = progress or Progress()
        records = [to_record(message) for message in messages]
        with Request(self, "generate", messages=records, sampling=to_record(sampling)) as request:
            while True:
                try:
                    event = _as_event(request.next(progress))
                except Cancelled:
                    yield Finished(Stats(stop_reason="cancelled"))
                    return
                yield event
                if isinstance(event, Finished):
                    return

    def devices(self) -> dict[str, Any]:
        """Return what ggml says of its build and devices; a driver that hangs ends the engine."""
        with Request(self, "devices") as request:
            return request.next(seconds=START_SECONDS)

    def dry_run(
        self, path: Path, settings: DryRun, progress: Progress | None = None
    ) -> tuple[DeviceBuffers, ...]:
        """Return what a model and a context would take on each device; nothing is allocated.

        Of the file only the header is read. Not for an engine that has a model loaded.

        Raises:
            BadModelFile: llama.cpp refuses the file.
            Cancelled: Through `progress`.
        """
        with Request(self, "dry_run", path=str(path), settings=to_record(settings)) as request:
            return buffers_from_records(request.next(progress, seconds=START_SECONDS)["buffers"])

    def bench(
        self,
        path: Path,
        settings: LoadSettings,
        tests: Sequence[BenchTest],
        progress: Progress | None = None,
    ) -> Iterator[BenchEvent]:
        """Load a model in place of the one before and measure it.

        Yields the report, then of each test its start, its samples and its end, or that it is refused. The
        model needs no vocabulary, is freed afterwards, and each test has a context as long as it takes.

        Raises:
            BadModelFile: The header breaks a rule, or llama.cpp refuses the file.
            Cancelled: Through `progress`.
        """
        self.loaded = None
        records = [to_record(test) for test in tests]
        values: dict[str, Any] = {"path": str(path), "settings": to_record(settings), "tests": records}
        with Request(self, "bench", **values) as request:
            while (event := request.next(progress))["event"] != "benched":
                if event["event"] != "load_progress":
                    yield read_bench_event(event)

    def quantize(
        self, source: Path, target: Path, settings: Quantize, progress: Progress | None = None
    ) -> Iterator[TensorStep]:
        """Write a quantized copy of a model, or say what it would be; yields each tensor as its turn comes.

        llama.cpp cannot be stopped at it: cancelling ends the process and leaves a file without a header.

        Raises:
            QuantizationRefused: llama.cpp refuses the file or the settings; a file may be left.
            Cancelled: Through `progress`.
        """
        values: dict[str, Any] = {"target": str(target), "settings": to_record(settings)}
        with Request(self, "quantize", path=str(source), **values) as request:
            request.force_seconds = 0.0
            while (event := request.next(progress))["event"] != "quantized":
                yield TensorStep(event["name"], event["type_name"], event["wanted"])

    def score(
        self,
        path: Path,
        settings: LoadSettings,
        wanted: TextPass,
        reference: Reference,
        progress: Progress | None = None,
    ) -> Iterator[ScoreEvent]:
        """Load a model in place of the one before and let it read a text; yields the start, then each chunk.

        Raises:
            UsageError: The text is too short.
            DamagedCache: What was kept of the reference cannot be read.
            BadModelFile: The header breaks a rule, or llama.cpp refuses the file.
            Cancelled: Through `progress`.
        """
        self.loaded = None
        values = {"path": str(path), "settings": to_record(settings), "pass": to_record(wanted)}
        with Request(self, "score", **values, reference=to_record(reference)) as request:
            while (event := request.next(progress))["event"] != "scored":
                if event["event"] == "pass":
                    yield from_record(PassStart, event)
                elif event["event"] == "chunk":
                    yield from_record(ChunkScore, event)

    def collect_imatrix(
        self,
        path: Path,
        settings: LoadSettings,
        wanted: TextPass,
        target: Path,
        source: str,
        progress: Progress | None = None,
    ) -> Iterator[ImatrixEvent]:
        """Write the importance matrix of a text to `target`; yields the start, then chunks as they are read.

        `source` is what the file calls the text. Raises as `score` does.
        """
        self.loaded = None
        values = {"path": str(path), "settings": to_record(settings), "pass": to_record(wanted)}
        with Request(self, "imatrix", **values, target=str(target), source=source) as request:
            while (event := request.next(progress))["event"] != "collected":
                if event["event"] == "pass":
                    yield from_record(PassStart, event)
                elif event["event"] == "chunk":
                    yield from_record(ChunkDone, event)

    def measure_influence(
        self, path: Path, settings: LoadSettings, wanted: TextPass, progress: Progress | None = None
    ) -> Iterator[PassStart | ChunkDone | tuple[float, ...]]:
        """Measure how much each layer changes what passes through it; yields the figures last.

        They are 1 less the mean cosine of a layer's input and output. Raises as `score` does.
        """
        self.loaded = None
        values = {"path": str(path), "settings": to_record(settings), "pass": to_record(wanted)}
        with Request(self, "influence", **values) as request:
            while (event := request.next(progress))["event"] != "influenced":
                if event["event"] == "pass":
                    yield from_record(PassStart, event)
                elif event["event"] == "chunk":
                    yield from_record(ChunkDone, event)
            yield tuple(event["layers"])

    def write_own_text(
        self, path: Path, settings: LoadSettings, tokens: int, seed: int, progress: Progress | None = None
    ) -> Iterator[OwnText]:
        """Let a model write about so many tokens by itself; the last that is yielded has the text.

        The same seed gives the same text on the same computer. Raises as `score` does.
        """
        self.loaded = None
        values = {"path": str(path), "settings": to_record(settings), "tokens": tokens, "seed": seed}
        with Request(self, "write", **values) as request:
            while True:
                event = request.next(progress)
                if event["event"] in ("written", "wrote"):
                    yield from_record(OwnText, event)
                if event["event"] == "wrote":
                    return

    def stop(self) -> None:
        """End the process; its memory is free when this returns."""
        self._child.stop()

    def kill(self) -> None:
        """End the process at once."""
        self._child.kill()

    def send(self, op: str, number: int, **values: Any) -> None:
        """Write a request; a dead child is reported through the request's queue."""
        self._child.send({"op": op, "id": number, **values})

    def open_request(self) -> tuple[int, queue.SimpleQueue[Message | Death]]:
        """Return a number and the queue that its events will arrive in."""
        number = next(self._numbers)
        events: queue.SimpleQueue[Message | Death] = queue.SimpleQueue()
        with self._lock:
            if self._child.death:
                events.put(self._child.death)
            self._waiting[number] = events
        return number, events

    def close_request(self, number: int) -> None:
        """Forget a request; events that still arrive for it are dropped."""
        with self._lock:
            self._waiting.pop(number, None)

    def _on_message(self, message: Message) -> None:
        if message.get("event") == "ready":
            self._ready.put(message)
            return
        with self._lock:
            events = self._waiting.get(message.get("id", 0))
        if events is not None:
            events.put(message)

    def _on_death(self, death: Death) -> None:
        self.loaded = None
        self._ready.put(death)
        with self._lock:
            for events in self._waiting.values():
                events.put(death)


def _as_event(event: Message) -> EngineEvent:
    match event["event"]:
        case "piece":
            return Piece(event["text"])
        case "prompt_progress":
            return PromptProgress(event["done"], event["total"], event["reused"])
        case "finished":
            return Finished(from_record(Stats, event["stats"]))
        case _:
            raise EngineError(text("The engine sent something unreadable."))
