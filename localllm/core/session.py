"""The model that is loaded now: one engine, checked memory, and a fresh engine after one that ended."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from localllm.core.engine_build import read_engine_build
from localllm.core.estimate import Question, subject_of_file
from localllm.core.estimate.advice import advise
from localllm.core.estimate.comparison import compare, given_back
from localllm.core.fit import FitSettings
from localllm.core.hardware import with_engine
from localllm.core.library.adapters import bytes_of, check_layable_all
from localllm.core.memory_refusals import refuse_load
from localllm.core.speed import TimedModel
from localllm.core.speed import history as speed_history
from localllm.core.ways_around import WaysAround
from localllm.engine.client import Engine
from localllm.errors import (
    BadModelFile,
    Cancelled,
    EngineError,
    LocalLLMError,
    NeedsHeader,
    NotEnoughMemory,
)
from localllm.gguf import check_header, read_header
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from localllm.core.estimate import Estimate, Estimator, Subject
    from localllm.core.estimate.advice import Advice
    from localllm.core.estimate.loads import Load
    from localllm.core.library import LibraryModel
    from localllm.core.machine import EngineBuild, Machine
    from localllm.engine.protocol import Adapter, LoadedModel, LoadSettings, Stats
    from localllm.progress import Progress

_log = logging.getLogger(__name__)
_SMALL = 64 << 20  # bytes of adapters that are not worth a look at the memory


class ModelSession:
    """Owns the engine; may be used from any thread, loads one model at a time.

    `probe` describes this computer at this moment.
    """

    def __init__(self, probe: Callable[[], Machine], estimator: Estimator) -> None:
        self._probe = probe
        self._estimator = estimator
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._build: EngineBuild | None = None
        self._last: tuple[LibraryModel, LoadSettings] | None = None
        self._subjects: dict[tuple[Path, int, int], Subject] = {}
        self._timed: speed_history.Subject | None = None
        self._used_at = 0.0  # when something was asked last, by the clock that never jumps
        self.comparison: Load | None = None  # what the model that is loaded took, beside its prediction

    @property
    def loaded(self) -> LoadedModel | None:
        """The model that is ready to answer, under the name that the library gives it."""
        loaded = self._engine.loaded if self._engine else None
        known = self._last[0] if self._last else None
        return (
            replace(loaded, name=known.name)
            if loaded and known and str(known.path) == loaded.path
            else loaded
        )

    def load(
        self, model: LibraryModel, settings: LoadSettings, progress: Progress, *, anyway: bool = False
    ) -> LoadedModel:
        """Load a model in place of the one before.

        Args:
            model: From the library.
            settings: 0 threads and -1 GPU layers are chosen for this computer.
            progress: Gets fractions from 0 to 1; may cancel.
            anyway: Load even if it does not seem to fit.

        Raises:
            BadModelFile: The file is not a usable model.
            NotEnoughMemory: It does not fit; `anyway` tries all the same.
            EngineError: The engine refused it, or ended.
            Cancelled: Through `progress`.
        """
        for fraction in self._loading(model, settings, progress, anyway=anyway):
            progress.update(fraction, 1.0)
        return self.require()

    def revive(self, progress: Progress) -> Iterator[float]:
        """Load the last model again if its engine has ended; yields how far that is."""
        if self.loaded is None and self._last is not None:
            model, settings = self._last
            try:
                yield from self._loading(model, settings, progress, anyway=True)
            except (LocalLLMError, Cancelled):
                self._last = (model, settings)  # the next message tries again
                raise

    def require(self) -> LoadedModel:
        """Return the loaded model.

        Raises:
            EngineError: There is none.
        """
        loaded = self.loaded
        if loaded is None:
            raise EngineError(text("No model is loaded."), hint=text("Choose a model first."))
        return loaded

    def engine(self) -> Engine:
        """Return the engine of the loaded model.

        Raises:
            EngineError: No model is loaded.
        """
        self.require()
        self._used_at = time.monotonic()
        return cast("Engine", self._engine)

    def adapt(self, adapters: Sequence[Adapter], progress: Progress) -> None:
        """Lay LoRA adapters over the loaded model, in the place of those before; it is not loaded again.

        Raises:
            AdapterRefused, BadModelFile, ModelNotFound: One cannot be used; those before stay.
            NotEnoughMemory: There is no room for them.
            EngineError: No model is loaded, or the engine ended.
            Cancelled: Through `progress`; those before stay.
        """
        engine, wanted = self.engine(), tuple(adapters)
        if wanted == engine.adapters:
            return
        self._refuse_large(wanted, engine.adapters)
        engine.adapt(wanted, progress)
        if self._last is not None:
            model, settings = self._last
            self._last = (model, replace(settings, adapters=wanted))

    def unload(self) -> None:
        """End the engine; its memory is free when this returns."""
        with self._lock:
            engine, self._engine, self._last = self._engine, None, None
            self.comparison, self._timed = None, None
        if engine:
            engine.stop()

    def doze(self, seconds: float) -> bool:
        """End the engine if nothing was asked of it for so long; `revive` loads the model again."""
        if not self._lock.acquire(blocking=False):
            return False  # a model is being loaded
        try:
            engine = self._engine
            idle = time.monotonic() - self._used_at
            if engine is None or engine.loaded is None or engine.busy or idle < seconds:
                return False
            self._engine, self.comparison, self._timed = None, None, None
        finally:
            self._lock.release()
        engine.stop()
        return True

    def close(self) -> None:
        """End every child; for the end of the program."""
        self.unload()
        self.rest()

    def probe(self) -> Machine:
        """Describe this computer at this moment, with what the engine build can use of it."""
        machine = self._probe()
        if self._build is None and machine.gpus:
            self._build = read_engine_build()
        return with_engine(machine, self._build) if self._build else machine

    def take_engine(self, build: EngineBuild) -> None:
        """Go by another answer of the engine on what it can compute on, from the next load on."""
        self._build = build

    def estimate(
        self,
        model: LibraryModel,
        settings: LoadSettings,
        machine: Machine | None = None,
        *,
        exact: bool = True,
    ) -> Estimate | None:
        """Return what loading would take; None where neither llama.cpp nor the closed form can tell.

        Args:
            model: From the library.
            settings: 0 threads and -1 GPU layers are chosen for this computer.
            machine: Spares a probe for each of many questions.
            exact: Ask llama.cpp itself; otherwise the closed form where it has an answer, at once.
        """
        try:
            return self.estimate_subject(self._subject(model), settings, machine, exact=exact)
        except (NeedsHeader, BadModelFile, EngineError) as error:
            _log.info("No estimate of “%s”: %s", model.name, error)
            return None

    def estimate_subject(
        self,
        subject: Subject,
        settings: LoadSettings,
        machine: Machine | None = None,
        *,
        exact: bool = True,
    ) -> Estimate:
        """Return what loading something that need not be on this disk would take; else as `estimate`.

        Raises:
            NeedsHeader: There is no header, and the closed form does not cover this architecture.
            BadModelFile, EngineError: llama.cpp refuses the file or the settings.
        """
        return self._estimator.estimate(self._question(subject, settings, machine, exact=exact))

    def advise(
        self,
        model: LibraryModel,
        settings: LoadSettings,
        answer: Estimate,
        machine: Machine,
        progress: Progress | None = None,
    ) -> tuple[Advice, ...]:
        """Return what could be done about an answer of `estimate` for the same settings and machine."""
        try:
            question = self._question(self._subject(model), settings, machine, exact=True)
            return advise(self._estimator, question, answer, progress)
        except (NeedsHeader, BadModelFile, EngineError) as error:
            _log.info("No advice on “%s”: %s", model.name, error)
            return ()

    def probe_without_model(self) -> Machine:
        """Describe this computer as it will be when the model that is loaded now has given way to another."""
        machine, loaded = self.probe(), self.loaded
        return given_back(machine, loaded) if loaded else machine

    def _question(
        self, subject: Subject, settings: LoadSettings, machine: Machine | None, *, exact: bool
    ) -> Question:
        return Question(
            subject,
            fit_settings(settings, subject.trained_context),
            machine or self.probe(),
            subject.placing(settings),
            threads=settings.threads,
            extra_buffers=settings.extra_buffers,
            exact=exact,
            adapters=bytes_of(settings.adapters),
        )

    def note_answer(self, stats: Stats) -> None:
        """Learn this computer's speed from an answer of the loaded model."""
        self._used_at = time.monotonic()
        if self._timed is not None and self._engine is not None and not self._engine.adapters:
            self._estimator.speeds.add_answer(self._timed, stats)

    def rest(self) -> None:
        """Give back what estimating holds; the next question takes it again."""
        self._estimator.rest()

    def _loading(
        self, model: LibraryModel, settings: LoadSettings, progress: Progress, *, anyway: bool
    ) -> Iterator[float]:
        with self._lock:
            _check(model, settings)
            self.rest()  # so that an inspector's share of the GPU counts as free
            if not anyway:
                self._refuse_what_cannot_fit(model, settings)
            self.unload()  # so that the memory of the model before is free when places are chosen
            self.rest()
            machine = self.probe()
            chosen, answer = self._choose(machine, model, settings, anyway=anyway)
            self.rest()
            ways = WaysAround(chosen, machine, self._estimator.limits_file)
            first = ways.settings
            yield from self._load_somehow(ways, model, progress)
            if ways.settings != first:
                answer = self.estimate(model, ways.settings, machine)
            self._last = (model, settings)
            self._used_at = time.monotonic()
            self._timed = _timed(answer, ways.settings, machine) if answer else None
            self._compare(None if settings.adapters else answer, machine)

    def _load_somehow(
        self, ways: WaysAround[LoadSettings], model: LibraryModel, progress: Progress
    ) -> Iterator[float]:
        while True:
            engine = self._engine = Engine(ways.without)
            try:
                yield from self._load_into(engine, model, ways.settings, progress)
            except EngineError as error:
                if not ways.go_on(error):
                    raise
                engine.kill()  # a driver that failed leaves it alive
            else:
                ways.succeeded()
                if ways.without_layout:
                    _add_notice(engine)
                return

    def _compare(self, predicted: Estimate | None, before: Machine) -> None:
        """Learn from what the load took, for the next prediction."""
        if predicted is None or self._engine is None or self._engine.loaded is None:
            return
        after = self.probe() if before.gpus else before
        self.comparison = compare(predicted, self._engine.loaded, self._engine.pid, before, after)
        if self.comparison is not None:
            self._estimator.remember(self.comparison)

    def _refuse_what_cannot_fit(self, model: LibraryModel, settings: LoadSettings) -> None:
        """Refuse before the model that is loaded now is given up, if not even its memory would be enough."""
        machine, loaded = self.probe_without_model(), self.loaded
        if loaded:
            memory = machine.memory
            available = min(memory.available + loaded.size, memory.limit or memory.total)
            machine = replace(machine, memory=replace(memory, available=available))
        answer = self.estimate(model, settings, machine)
        if answer and answer.verdict in ("does_not_fit", "needs_closing_apps"):
            raise refuse_load(model.name, answer)

    def _refuse_large(self, wanted: tuple[Adapter, ...], present: tuple[Adapter, ...]) -> None:
        there = {adapter.path for adapter in present}
        need = bytes_of(tuple(adapter for adapter in wanted if adapter.path not in there))
        if need > _SMALL and need > (have := self.probe().memory.available):
            raise NotEnoughMemory(
                text(
                    "The adapter takes {need}, and {have} are free now.", need=Bytes(need), have=Bytes(have)
                ),
                need=need,
                have=have,
                hint=text("Close other programs, or leave the adapter out."),
            )

    def _load_into(
        self, engine: Engine, model: LibraryModel, settings: LoadSettings, progress: Progress
    ) -> Iterator[float]:
        engine.wait_until_ready(progress)
        yield from engine.loading(model.path, settings, progress)

    def _choose(
        self, machine: Machine, model: LibraryModel, settings: LoadSettings, *, anyway: bool
    ) -> tuple[LoadSettings, Estimate | None]:
        """Fill in what was left to us, and check the memory."""
        answer = self.estimate(model, settings, machine)
        if answer and answer.verdict in ("does_not_fit", "needs_closing_apps") and not anyway:
            raise refuse_load(model.name, answer)
        chosen = replace(
            answer.placed(settings) if answer else settings,
            threads=settings.threads or machine.cpu.usable_cores,
            context_length=_context_length(model, settings),
        )
        return chosen, answer

    def _subject(self, model: LibraryModel) -> Subject:
        stat = model.path.stat()
        key = (model.path, stat.st_size, stat.st_mtime_ns)
        if key not in self._subjects:
            self._subjects[key] = subject_of_file(model.path, model.name)
        return self._subjects[key]


def _check(model: LibraryModel, settings: LoadSettings) -> None:
    """Refuse what the engine would, before the model that is loaded now is given up."""
    header = read_header(model.path)
    check_header(header)
    check_layable_all(settings.adapters, header)


def _add_notice(engine: Engine) -> None:
    if engine.loaded:
        notice = text("The engine crashes with this processor's own weight layout; it works without it.")
        engine.loaded = replace(engine.loaded, notices=(*engine.loaded.notices, notice))


def _context_length(model: LibraryModel, settings: LoadSettings) -> int:
    trained = model.trained_context or settings.context_length
    return min(settings.context_length, trained) if settings.context_length else trained


def fit_settings(settings: LoadSettings, trained_context: int) -> FitSettings:
    """Return what decides the memory of a context that is loaded like this."""
    wished = settings.context_length or trained_context
    return FitSettings(
        context_length=min(wished, trained_context) if trained_context else wished,
        ubatch=settings.ubatch,
        batch=settings.batch,
        flash_attention=settings.flash_attention,
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
    )


def _timed(answer: Estimate, chosen: LoadSettings, machine: Machine) -> speed_history.Subject | None:
    """Return what the speed of answers is kept under."""
    subject = answer.subject
    if subject.shape is None or subject.file is None:
        return None
    model = TimedModel(subject.shape, subject.weights, subject.quant)
    return speed_history.Subject(machine, subject.file.name, model, answer.placement, chosen)
