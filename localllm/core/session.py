"""The model that is loaded now: one engine, checked memory, and a fresh engine after one that ended."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from localllm.core.engine_build import read_engine_build
from localllm.core.engine_limits import (
    as_used,
    remember_crash,
    weight_layout_works,
    without_weight_layout,
)
from localllm.core.fit import FitSettings, MemoryEstimate, Placement, Verdict, place
from localllm.core.hardware import with_engine
from localllm.core.shape import shape_from_gguf
from localllm.engine.client import Engine
from localllm.errors import Cancelled, EngineDied, EngineError, LocalLLMError, NotEnoughMemory
from localllm.gguf import check_header, read_header
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from localllm.core.library import LibraryModel
    from localllm.core.machine import EngineBuild, Machine
    from localllm.core.shape import ModelShape
    from localllm.engine.protocol import LoadedModel, LoadSettings
    from localllm.progress import Progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitAnswer:
    """What loading a model would take on this computer; `available` bytes can be had now."""

    memory: MemoryEstimate
    placement: Placement
    verdict: Verdict
    available: int


class ModelSession:
    """Owns the engine; may be used from any thread, loads one model at a time.

    `probe` describes this computer at this moment. `limits_file` keeps what this engine build cannot do here.
    """

    def __init__(self, probe: Callable[[], Machine], limits_file: Path) -> None:
        self._probe = probe
        self._limits_file = limits_file
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._build: EngineBuild | None = None
        self._last: tuple[LibraryModel, LoadSettings] | None = None
        self._shapes: dict[tuple[Path, float], tuple[ModelShape, int] | None] = {}

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
        return cast("Engine", self._engine)

    def unload(self) -> None:
        """End the engine; its memory is free when this returns."""
        with self._lock:
            engine, self._engine, self._last = self._engine, None, None
        if engine:
            engine.stop()

    def close(self) -> None:
        """Do what `unload` does; for the end of the program."""
        self.unload()

    def probe(self) -> Machine:
        """Describe this computer at this moment, with what the engine build can use of it."""
        machine = self._probe()
        if self._build is None and machine.gpus:
            self._build = read_engine_build()
        return with_engine(machine, self._build) if self._build else machine

    def estimate(
        self, model: LibraryModel, settings: LoadSettings, machine: Machine | None = None
    ) -> FitAnswer | None:
        """Return what loading would take; None for an architecture that the formula does not cover.

        `machine` spares a probe for each of many questions.
        """
        known = self._shape(model.path)
        return _fit(self._as_used(machine or self.probe(), settings), known, settings) if known else None

    def _as_used(self, machine: Machine, settings: LoadSettings) -> Machine:
        """Describe a computer as these settings use it: without AMX where its weight layout is off."""
        return (
            as_used(self._limits_file, machine) if settings.extra_buffers else without_weight_layout(machine)
        )

    def _loading(
        self, model: LibraryModel, settings: LoadSettings, progress: Progress, *, anyway: bool
    ) -> Iterator[float]:
        with self._lock:
            check_header(read_header(model.path))
            machine = self.probe()
            if not anyway:
                self._refuse_what_never_fits(machine, model, settings)
            self.unload()  # so that the memory of the model before is free when places are chosen
            machine = self.probe()
            chosen = self._choose(machine, model, settings, anyway=anyway)
            self._engine = Engine()
            try:
                yield from self._load_into(self._engine, model, chosen, progress)
            except EngineDied as error:
                if not chosen.extra_buffers or not error.crashed:
                    raise
                _log.warning("Loading with this processor's own weight layout failed: %s", error)
                self._engine = Engine()
                plain = replace(chosen, extra_buffers=False)
                yield from self._load_into(self._engine, model, plain, progress)
                remember_crash(self._limits_file, machine)
                _add_notice(self._engine)
            self._last = (model, settings)

    def _refuse_what_never_fits(self, machine: Machine, model: LibraryModel, settings: LoadSettings) -> None:
        """Refuse before the model that is loaded now is given up."""
        answer = self.estimate(model, settings, machine)
        if answer and answer.verdict == "does_not_fit":
            raise _not_enough(model, answer)

    def _load_into(
        self, engine: Engine, model: LibraryModel, settings: LoadSettings, progress: Progress
    ) -> Iterator[float]:
        engine.wait_until_ready(progress)
        yield from engine.loading(model.path, settings, progress)

    def _choose(
        self, machine: Machine, model: LibraryModel, settings: LoadSettings, *, anyway: bool
    ) -> LoadSettings:
        """Fill in what was left to us, and check the memory."""
        answer = self.estimate(model, settings, machine)
        if answer and answer.verdict in ("does_not_fit", "needs_closing_apps") and not anyway:
            raise _not_enough(model, answer)
        layers = settings.gpu_layers
        if layers < 0 and answer:
            layers = answer.placement.gpu_layers
        return replace(
            settings,
            threads=settings.threads or machine.cpu.usable_cores,
            gpu_layers=layers,
            experts_on_cpu=settings.experts_on_cpu
            or bool(answer and answer.placement.kind == "experts_on_cpu" and settings.gpu_layers < 0),
            context_length=_context_length(model, settings),
            extra_buffers=settings.extra_buffers and weight_layout_works(self._limits_file, machine),
        )

    def _shape(self, path: Path) -> tuple[ModelShape, int] | None:
        key = (path, path.stat().st_mtime if path.exists() else 0.0)
        if key not in self._shapes:
            header = read_header(path)
            try:
                shape = shape_from_gguf(header.metadata, header.tensors)
            except (ArithmeticError, ValueError, TypeError):  # numbers that make no sense: no estimate
                shape = None
            self._shapes[key] = (shape, header.weight_bytes) if shape else None
        return self._shapes[key]


def _add_notice(engine: Engine) -> None:
    if engine.loaded:
        notice = text("The engine crashes with this processor's own weight layout; it works without it.")
        engine.loaded = replace(engine.loaded, notices=(*engine.loaded.notices, notice))


def _context_length(model: LibraryModel, settings: LoadSettings) -> int:
    trained = model.trained_context or settings.context_length
    return min(settings.context_length, trained) if settings.context_length else trained


def _fit(machine: Machine, known: tuple[ModelShape, int], settings: LoadSettings) -> FitAnswer:
    shape, weights = known
    fit = FitSettings(
        context_length=min(settings.context_length or shape.trained_context, shape.trained_context),
        ubatch=settings.ubatch,
        batch=settings.batch,
        flash_attention=settings.flash_attention,
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
    )
    placement, memory, verdict = place(machine, shape, weights, fit)
    cards = [gpu for gpu in machine.gpus if gpu.usable is not False and gpu.kind == "discrete"]
    available = machine.memory.available + sum(card.memory_free or 0 for card in cards)
    return FitAnswer(memory, placement, verdict, available)


def _not_enough(model: LibraryModel, answer: FitAnswer) -> NotEnoughMemory:
    hint = text(
        "Close other programs, take a smaller context length or a smaller quantization, or load it anyway."
    )
    return NotEnoughMemory(
        text(
            "“{name}” needs about {need}, and {have} are free now.",
            name=model.name,
            need=Bytes(answer.memory.total),
            have=Bytes(answer.available),
        ),
        need=answer.memory.total,
        have=answer.available,
        hint=hint,
    )
