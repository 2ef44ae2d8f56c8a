"""Measures one configuration after the other, each in an engine of its own; a failure is a row too."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localllm.core.bench.describe import fields_of
from localllm.core.bench.energy import Meters
from localllm.core.bench.feed import SpeedFeed
from localllm.core.bench.guard import Guard
from localllm.core.bench.rows import BenchRow
from localllm.core.engine_work import EngineWork
from localllm.core.fit import FitSettings
from localllm.core.hardware.bandwidth import RunningBench
from localllm.core.measuring_lock import measuring_alone
from localllm.core.ways_around import WaysAround, is_its_own_fault
from localllm.engine.benches import BenchEnd, BenchRefusal, BenchSettings, BenchStart
from localllm.engine.client import Engine
from localllm.engine.experts import AUTOMATIC
from localllm.engine.protocol import BenchReport, BenchSample
from localllm.errors import EngineError, LocalLLMError, NotEnoughMemory
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.core.bench.guard import TestWatch
    from localllm.core.bench.history import BenchHistory
    from localllm.core.bench.plan import Configuration
    from localllm.core.calibration.guard import Computer
    from localllm.core.estimate import Estimator
    from localllm.core.machine import Machine
    from localllm.engine.benches import BenchEvent
    from localllm.engine.protocol import BenchTest
    from localllm.paths import Paths
    from localllm.progress import Progress
    from localllm.texts import Text

_log = logging.getLogger(__name__)
_USUAL = BenchSettings()
_SHORTEST_SHARE = 0.001  # seconds: of time that is over
# what places a model otherwise than an estimate knows of
_PLACING = (
    "overrides", "devices", "tensor_split", "split_mode", "main_gpu", "no_kv_offload",
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """Where and on what to measure.

    Attributes:
        machine: This computer, asked just now.
        estimator: Says what does not fit, and has the history of speeds.
        history: Where results go, each as soon as it is there.
        computer: Whose load is watched.
        anyway: Measure also beside busy programs, and what does not seem to fit.
        until: When a bench should have ended, as `time.monotonic` counts: repetitions that would end later
            are left out, but for the first of each test.
    """

    paths: Paths
    machine: Machine
    estimator: Estimator
    history: BenchHistory
    computer: Computer = dataclasses.field(default_factory=RunningBench)
    anyway: bool = False
    until: float | None = None


def run_bench(
    bench: Bench,
    plan: Sequence[Configuration],
    on_row: Callable[[BenchRow], None],
    progress: Progress,
    *,
    name: str = "",
    alone: bool = False,
) -> int:
    """Measure; return the number of the run in the history, 0 where not all of it could be kept.

    Args:
        bench: Where and on what.
        plan: What; `make_plan` makes it.
        on_row: Gets each result when it is there.
        progress: Gets repetitions done and in all; may cancel: what was finished is kept.
        name: What the run is called in the history.
        alone: The caller has `measuring_alone` already.

    Raises:
        OwnWorkRuns: Somebody else measures, or work of ours runs.
        MachineBusy: Other programs use the processors.
        EngineError: The engine does not start.
        Cancelled: Through `progress`.
    """
    models = ", ".join(dict.fromkeys(one.model.name for one in plan))
    what = text("Bench of {models}", models=models)
    right = contextlib.nullcontext() if alone else measuring_alone(bench.paths, what)
    with right, contextlib.closing(Meters()) as meters:
        guard = Guard(bench.computer, bench.machine.cpu.usable_cores, meters)
        if not bench.anyway:
            progress.update(0, 1, text("Looking whether the computer is idle…"))
            guard.require_idle()
        build = _build(progress)
        number = bench.history.begin(_facts(bench, build, guard), name=name)
        kept: list[bool] = []

        def keep(row: BenchRow) -> None:
            kept.append(bench.history.add(number, row))
            on_row(row)

        steps = _Steps(progress, [test for one in plan for test in one.tests], bench.until)
        series = _Series(bench, build, guard, steps, keep)
        for configuration in plan:
            series.measure(configuration)
        return number if all(kept) else 0


def _build(progress: Progress, without: tuple[str, ...] = ()) -> dict[str, Any]:
    engine = Engine(without)
    try:
        engine.wait_until_ready(progress)
        return engine.devices()
    finally:
        engine.kill()


def _facts(bench: Bench, build: dict[str, Any], guard: Guard) -> dict[str, Any]:
    return {
        "machine": bench.machine.to_json(),
        "engine": {name: build[name] for name in ("version", "commit", "backends", "system_info")},
        "conditions": guard.start.to_record(),
        "foreign_load": round(guard.highest_load, 3),
        "anyway": bench.anyway,
    }


class _Steps:
    """Counts repetitions for the progress, and shares out the time."""

    def __init__(self, progress: Progress, tests: Sequence[BenchTest], until: float | None) -> None:
        self.progress, self._until, self._tests_left = progress, until, len(tests)
        self._total, self._done = sum(test.repetitions for test in tests), 0

    def tell(self, configuration: Configuration, test: BenchTest, repetition: int) -> None:
        note = text(
            "{model}: {test}, repetition {number} of {count}",
            model=configuration.model.name,
            test=_name(test),
            number=min(repetition + 1, test.repetitions),
            count=test.repetitions,
        )
        self.progress.update(self._done + repetition, self._total, note)

    def end(self, test: BenchTest) -> None:
        self._done += test.repetitions
        self._tests_left -= 1

    def in_time(self, tests: Sequence[BenchTest]) -> Sequence[BenchTest]:
        """Give each of the next tests its share of the time that is left."""
        if self._until is None:
            return tests
        share = max(_SHORTEST_SHARE, (self._until - time.monotonic()) / self._tests_left)
        return [dataclasses.replace(test, until=share * number) for number, test in enumerate(tests, start=1)]


def _name(test: BenchTest) -> str:
    fields = {"n_prompt": test.prompt_tokens, "n_gen": test.generated_tokens, "n_depth": test.depth}
    return BenchRow(fields, sequences=test.sequences).test


class _Series:
    """Measures configurations one by one."""

    def __init__(
        self,
        bench: Bench,
        build: dict[str, Any],
        guard: Guard,
        steps: _Steps,
        keep: Callable[[BenchRow], None],
    ) -> None:
        self._bench, self._build, self._guard = bench, build, guard
        self._steps, self._keep = steps, keep

    def measure(self, configuration: Configuration) -> None:
        """Measure all tests of a configuration, whatever becomes of each."""
        waiting = list(configuration.tests)
        ways = self._ways_around(configuration)
        while waiting:
            attempt = self._make_attempt(configuration, ways)
            try:
                attempt.run(waiting, self._keep)
            except EngineError as error:
                if ways.go_on(error):
                    continue
                _log.warning("A bench failed: %s", error)
                self._give_up(attempt, waiting, error.message)
            except LocalLLMError as error:
                self._give_up(attempt, waiting, error.message)
            if attempt.measured:
                ways.succeeded()
            ways = self._ways_around(configuration)

    def _ways_around(self, configuration: Configuration) -> WaysAround[BenchSettings]:
        """Whoever asks for layers on the card, or for a layout, wants to know how these do, not others."""
        settings, machine = configuration.settings, self._bench.machine
        on_card = settings.gpu_layers > 0
        if configuration.repack is not None:
            settings = dataclasses.replace(settings, extra_buffers=configuration.repack)
            return WaysAround(settings, machine, keep_card=on_card)
        return WaysAround(settings, machine, self._bench.paths.engine_limits_file, keep_card=on_card)

    def _make_attempt(self, configuration: Configuration, ways: WaysAround[BenchSettings]) -> _Attempt:
        build = _build(self._steps.progress, ways.without) if ways.without else self._build
        used = dataclasses.replace(configuration, settings=ways.settings)
        return _Attempt(self._bench, build, self._guard, self._steps, used, ways.without)

    def _give_up(self, attempt: _Attempt, waiting: list[BenchTest], reason: Text) -> None:
        """Note why the test that ran has no figure; all that wait, if the model could not be loaded."""
        for test in waiting[:1] if attempt.report else list(waiting):
            waiting.remove(test)
            self._steps.end(test)
            self._keep(attempt.row(test, failure=reason))


class _Attempt:
    """One engine that measures what waits of a configuration, with its settings as they are.

    Attributes:
        report: What the engine says of the model once it is loaded.
        measured: Whether a test was done.
    """

    def __init__(
        self,
        bench: Bench,
        build: dict[str, Any],
        guard: Guard,
        steps: _Steps,
        configuration: Configuration,
        without: tuple[str, ...],
    ) -> None:
        self._bench, self._build, self._guard, self._steps = bench, build, guard, steps
        self._configuration, self._settings = configuration, configuration.settings
        self._without = without
        self._feed = SpeedFeed(bench.estimator.speeds, bench.machine, configuration.model.path)
        self.report: BenchReport | None = None
        self.measured = False
        self._samples: list[int] = []
        self._watch: TestWatch | None = None

    def run(self, waiting: list[BenchTest], keep: Callable[[BenchRow], None]) -> None:
        """Measure; every test that is done, or refused, is taken from the list.

        Raises:
            EngineError, BadModelFile, ModelNotFound: The model cannot be loaded, or the engine ended.
            Cancelled: Somebody asked to stop.
        """
        self._refuse_too_large(waiting, keep)
        tests = tuple(waiting)
        if not tests:
            return
        engine, progress = Engine(self._without), self._steps.progress
        try:
            engine.wait_until_ready(progress)
            path = self._configuration.model.path
            for event in engine.bench(path, self._settings, self._steps.in_time(tests), progress):
                if isinstance(event, BenchRefusal) and is_its_own_fault(event.error):
                    raise event.error  # what was lost with a driver does not come back in this engine
                self._take(event, tests, engine.pid)
                if isinstance(event, (BenchEnd, BenchRefusal)):
                    test = tests[event.test]
                    waiting.remove(test)
                    self._steps.end(test)
                    keep(self._finish(test, event))
        finally:
            engine.kill()

    def _take(self, event: BenchEvent, tests: Sequence[BenchTest], engine: int) -> None:
        match event:
            case BenchReport():
                self.report = event
            case BenchStart():
                self._samples = []
                self._watch = self._guard.watch(engine)
                self._steps.tell(self._configuration, tests[event.test], 0)
            case BenchSample():
                self._samples.append(event.nanoseconds)
                if self._watch:
                    self._watch.sample()
                self._steps.tell(self._configuration, tests[event.test], len(self._samples))
            case _:
                return

    def _finish(self, test: BenchTest, event: BenchEnd | BenchRefusal) -> BenchRow:
        if isinstance(event, BenchRefusal):
            return self.row(test, failure=event.error.message)
        self.measured = True
        row = dataclasses.replace(
            self.row(test),
            samples=tuple(self._samples),
            disturbed=self._watch.end() if self._watch else (),
            energy=self._watch.energy() if self._watch else 0.0,
            peak_memory=event.peak_memory,
            buffers=event.buffers,
        )
        if self.report:
            self._feed.add(self._settings, test, self.report.layers, row.undisturbed)
        return row

    def row(self, test: BenchTest, failure: Text | None = None) -> BenchRow:
        """Return a test's row without samples."""
        repack = self._settings.extra_buffers
        return BenchRow(
            fields_of(self._build, self._configuration, test, self.report, repack=repack),
            failure=failure,
            sequences=test.sequences,
            model_hash=self._configuration.model.hash,
            load_ms=self.report.load_ms if self.report else 0.0,
        )

    def _refuse_too_large(self, waiting: list[BenchTest], keep: Callable[[BenchRow], None]) -> None:
        """Leave out what does not fit: the system might end other programs before it refuses."""
        if self._bench.anyway:
            return
        settings = self._settings
        if any(getattr(settings, name) != getattr(_USUAL, name) for name in _PLACING):
            # no more is known than if it fits at all
            settings = dataclasses.replace(settings, gpu_layers=-1, experts_layers_on_cpu=AUTOMATIC)
        work = EngineWork(self._bench.paths, self._bench.machine, self._bench.estimator, settings)
        for test in sorted(waiting, key=_context, reverse=True):
            try:
                work.plan(self._configuration.model.path, _fit(self._settings, test))
            except NotEnoughMemory as error:
                waiting.remove(test)
                self._steps.end(test)
                keep(self.row(test, failure=error.message))
            else:
                return


def _context(test: BenchTest) -> int:
    return (test.depth + test.prompt_tokens + test.generated_tokens) * test.sequences


def _fit(settings: BenchSettings, test: BenchTest) -> FitSettings:
    return FitSettings(
        context_length=_context(test),
        ubatch=settings.ubatch,
        batch=settings.batch,
        sequences=test.sequences,
        flash_attention=settings.flash_attention,
        outputs_max=test.sequences,
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
    )
