"""A piece of work in an engine of its own, with settings for this computer."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from localllm.core.engine_build import read_engine_build
from localllm.core.estimate import Estimator, Question, subject_of_file
from localllm.core.hardware import probe, with_engine
from localllm.core.memory_refusals import refuse_work
from localllm.core.ways_around import WaysAround
from localllm.engine.client import Engine
from localllm.engine.protocol import LoadSettings
from localllm.errors import BadModelFile, EngineError, NeedsHeader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localllm.core.estimate import Estimate
    from localllm.core.fit import FitSettings
    from localllm.core.machine import Machine
    from localllm.paths import Paths
    from localllm.progress import Progress

_log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Load:
    """How a model is to be loaded for a piece of work, and how fast it answers as far as that is known.

    Attributes:
        speed: Tokens/s of an answer here; None where it cannot be predicted.
        measured: Whether that speed was measured with this very model.
    """

    path: Path
    settings: LoadSettings
    speed: float | None = None
    measured: bool = False


class EngineWork:
    """Chooses settings, starts an engine for each piece of work and ends it.

    Args:
        paths: The user's folders.
        machine: This computer.
        estimator: Says where a model fits.
        settings: What somebody has chosen; 0 threads and -1 GPU layers are chosen here.
    """

    def __init__(
        self, paths: Paths, machine: Machine, estimator: Estimator, settings: LoadSettings | None = None
    ) -> None:
        self.paths, self.machine = paths, machine
        self._estimator = estimator
        self._settings = settings or LoadSettings()

    @classmethod
    def here(cls, paths: Paths, settings: LoadSettings | None = None) -> EngineWork:
        """Describe this computer at this moment."""
        machine = probe(paths.models, measurements=paths.measurements_file)
        if machine.gpus and (build := read_engine_build()):
            machine = with_engine(machine, build)
        return cls(paths, machine, Estimator.for_paths(paths), settings)

    def plan(self, path: Path, fit: FitSettings, *, anyway: bool = False) -> Load:
        """Return how to load a model.

        Args:
            path: A GGUF file.
            fit: What its context is to be like.
            anyway: Also if it does not seem to fit.

        Raises:
            ModelNotFound, BadModelFile: It is no usable model.
            NotEnoughMemory: It does not fit.
        """
        answer = self._estimate(path, fit)
        if answer and not anyway and answer.verdict in ("does_not_fit", "needs_closing_apps"):
            raise refuse_work(answer)
        wished = self._settings
        settings = replace(
            answer.placed(wished) if answer else wished,
            context_length=fit.context_length,
            batch=fit.batch,
            ubatch=fit.ubatch,
            kv_type_k=fit.kv_type_k,
            kv_type_v=fit.kv_type_v,
            threads=wished.threads or self.machine.cpu.usable_cores,
        )
        speed = answer.speed if answer else None
        if speed is None or speed.tokens_per_second <= 0:
            return Load(path, settings)
        return Load(path, settings, speed.tokens_per_second, measured=speed.basis == "measured")

    def run(self, load: Load, work: Callable[[Engine, LoadSettings], Result], progress: Progress) -> Result:
        """Do a piece of work in an engine of its own; it may be begun three times.

        Raises:
            EngineError: The engine refused the model, or ended.
            Cancelled: Through `progress`.
        """
        ways = WaysAround(load.settings, self.machine, self.paths.engine_limits_file)
        while True:
            try:
                result = _in_engine(work, ways, progress)
            except EngineError as error:
                if not ways.go_on(error):
                    raise
            else:
                ways.succeeded()
                return result

    def _estimate(self, path: Path, fit: FitSettings) -> Estimate | None:
        wished = self._settings
        subject = subject_of_file(path)
        try:
            return self._estimator.estimate(
                Question(
                    subject,
                    fit,
                    self.machine,
                    subject.placing(wished),
                    threads=wished.threads,
                    extra_buffers=wished.extra_buffers,
                    exact=False,  # the closed form is near enough for a short context, and takes no time
                )
            )
        except (NeedsHeader, BadModelFile, EngineError) as error:
            _log.info("No estimate of “%s”: %s", path.name, error)
            return None
        finally:
            self._estimator.rest()  # its share of the GPU must be free for the work itself


def _in_engine(
    work: Callable[[Engine, LoadSettings], Result], ways: WaysAround[LoadSettings], progress: Progress
) -> Result:
    engine = Engine(ways.without)
    try:
        engine.wait_until_ready(progress)
        return work(engine, ways.settings)
    finally:
        engine.kill()
