"""Measures this computer within ten seconds: on each device the starter model, and shapes made on the fly."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from localllm.core.calibration.bencher import Bencher
from localllm.core.calibration.guard import MOST_FOREIGN_LOAD, LoadGuard, load_now, refusal
from localllm.core.calibration.state import hottest, on_battery
from localllm.core.calibration.subjects import Pace, first_tests, trials
from localllm.core.calibration.synthetic import remove_left_over, write_synthetic
from localllm.core.fit import Placement
from localllm.core.hardware.bandwidth import RunningBench
from localllm.core.library import starter_path
from localllm.core.measuring_lock import measuring_alone
from localllm.core.shape import shape_from_gguf
from localllm.core.speed.history import Subject
from localllm.core.speed.work import TimedModel
from localllm.core.ways_around import is_its_own_fault
from localllm.engine.protocol import LoadSettings
from localllm.errors import EngineDied, EngineError, ModelNotFound
from localllm.gguf import read_header
from localllm.texts import Number, Text, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.core.calibration.guard import Computer
    from localllm.core.machine import Machine
    from localllm.core.speed.fits import SpeedFits
    from localllm.core.speed.history import SpeedHistory
    from localllm.core.speed.work import Role
    from localllm.engine.protocol import BenchTest
    from localllm.paths import Paths
    from localllm.progress import Progress

_log = logging.getLogger(__name__)
_SAFE = text("What was measured before still counts.")
SECONDS = 10.0
# of them: what has not begun by then is left out
_LAST_START, _LAST_START_BESIDE_GPU, _LAST_START_ON_GPU = 0.75, 0.35, 0.85
_TRIAL_SECONDS = 2.5  # then fewer repetitions have to do
_TRIES = 2  # of a measurement that was disturbed
_SLOWED_DOWN = 1.12  # times as long at the end as at the beginning: the processor had to clock down
_STEPS = 6  # of the progress, for each device


@dataclass(frozen=True)
class Measured:
    """One model on one device: tokens/s written, and read of a prompt (None where that was not asked for)."""

    device: str
    name: str
    writing: float
    reading: float | None


@dataclass(frozen=True)
class CalibrationResult:
    """What was measured.

    Attributes:
        measured: Each model on each device.
        fits: What predictions are made from now.
        foreign_load: Largest share of the cores that other programs kept busy meanwhile.
        seconds: How long it took.
        notes: What speaks against its truth: a battery, a processor that became slower.
    """

    measured: tuple[Measured, ...]
    fits: SpeedFits | None
    foreign_load: float
    seconds: float
    notes: tuple[Text, ...]


def calibrate(
    paths: Paths,
    machine: Machine,
    history: SpeedHistory,
    progress: Progress,
    *,
    anyway: bool = False,
    computer: Computer | None = None,
) -> CalibrationResult:
    """Measure this computer and keep the result in `history`.

    Args:
        paths: For files that exist while measuring, and for what the engine cannot do here.
        machine: This computer, asked just now.
        history: Where the figures go.
        progress: Gets steps done and in all; may cancel.
        anyway: Measure also beside busy programs.
        computer: Whose load is watched.

    Raises:
        OwnWorkRuns: Somebody else measures, or work of ours runs.
        MachineBusy: Other programs use the processors, and `anyway` was not said.
        ModelNotFound: The starter model is missing.
        EngineError: The engine failed.
        LocalLLMError: The disk has no room for the file that is measured.
        Cancelled: Through `progress`.
    """
    safe = _SAFE if history.fits(machine) is not None else None
    load = _Load(computer or RunningBench(), machine.cpu.usable_cores, safe, anyway=anyway)
    with measuring_alone(paths, text("Measuring this computer")):
        progress.update(0, 1, text("Looking whether the computer is idle…"))
        load.check_idle()
        began = time.monotonic()
        with contextlib.closing(Bencher(machine, paths.engine_limits_file)) as bencher:
            run = _Run(paths, machine, history, progress, bencher, load)
            try:
                devices = run.measure_devices(began)
            except EngineDied as error:
                raise EngineDied(
                    error.message, safe=safe, hint=text("Measure again."), detail=error.detail
                ) from error
    notes = tuple(run.notes())
    facts: dict[str, object] = {
        "devices": devices,
        "foreign_load": round(load.highest, 3),
        "battery": on_battery(),
        "hottest": hottest(),
        "weight_layout": bencher.weight_layout,
    }
    history.end_calibration(machine, machine.cpu.usable_cores, run.name, facts)
    fits = history.fits(machine)
    return CalibrationResult(tuple(run.measured), fits, load.highest, time.monotonic() - began, notes)


class _Load:
    """Watches other programs, before and between."""

    def __init__(self, computer: Computer, cores: int, safe: Text | None, *, anyway: bool) -> None:
        self._computer, self._cores, self._safe, self._anyway = computer, cores, safe, anyway
        self.highest = 0.0

    def check_idle(self) -> None:
        self.judge(load_now(self._computer, self._cores))

    def guard(self, engine: int) -> LoadGuard:
        return LoadGuard(self._computer, self._cores, engine)

    def is_too_high(self, load: float) -> bool:
        return load > MOST_FOREIGN_LOAD and not self._anyway

    def judge(self, load: float) -> None:
        self.highest = max(self.highest, load)
        if self.is_too_high(load):
            raise refusal(load, self._safe)


class _Run:
    def __init__(
        self,
        paths: Paths,
        machine: Machine,
        history: SpeedHistory,
        progress: Progress,
        bencher: Bencher,
        load: _Load,
    ) -> None:
        self._machine, self._history, self._progress = machine, history, progress
        self._bencher, self._load = bencher, load
        self._folder = paths.cache / "measuring"
        self._done = self._steps = 0
        self._drift = 1.0
        self._card_failed = False
        self.name = uuid.uuid4().hex
        self.measured: list[Measured] = []

    def measure_devices(self, began: float) -> dict[str, str]:
        """Measure the CPU, then the GPUs together; return ggml's names of them."""
        last_start = {"cpu": began + _LAST_START * SECONDS}
        remove_left_over(self._folder)
        found = self._bencher.devices(self._progress)
        gpus = [device for device in found if device["kind"] in ("gpu", "igpu")]
        devices: dict[Role, str] = {"cpu": "CPU"}
        rooms: dict[Role, int] = {"cpu": self._machine.memory.available}
        if gpus:
            devices["gpu"] = "+".join(str(gpu["name"]) for gpu in gpus)
            rooms["gpu"] = sum(cast("int", gpu["memory_free"]) for gpu in gpus)
            last_start["cpu"] = began + _LAST_START_BESIDE_GPU * SECONDS
            last_start["gpu"] = began + _LAST_START_ON_GPU * SECONDS
        self._steps = _STEPS * len(devices)
        for role, device in devices.items():
            try:
                self._measure_device(role, device, rooms[role], last_start[role])
            except EngineError as error:
                if role == "cpu" or not is_its_own_fault(error):
                    raise
                _log.warning("%s failed while it was measured: %s", device, error)
                self._card_failed = True  # what was measured before it did still holds
        return {str(role): device for role, device in devices.items()}

    def notes(self) -> list[Text]:
        """Say what speaks against the figures."""
        found: list[Text] = []
        if self._card_failed:
            found.append(text("The graphics driver failed meanwhile: its card is not measured to the end."))
        if on_battery():
            found.append(text("The computer runs on its battery: plugged in it may be faster."))
        if self._drift > _SLOWED_DOWN and self._load.highest <= MOST_FOREIGN_LOAD:
            percent = Number(100 * (1 - 1 / self._drift))
            found.append(
                text("The processor became {percent} % slower meanwhile, as a hot one does.", percent=percent)
            )
        if self._load.highest > MOST_FOREIGN_LOAD:
            percent = Number(100 * self._load.highest)
            found.append(
                text("Other programs kept up to {percent} % of the processor busy.", percent=percent)
            )
        return found

    def _measure_device(self, role: Role, device: str, room: int, last_start: float) -> None:
        path, starter = _starter()
        tests = first_tests(role)
        first = self._trial(role, device, "starter", path, starter, tests)
        reading = first.reading or 1.0
        pace = Pace(first.writing * starter.weights, reading * starter.shape.active_parameters)
        for trial in trials(role, pace, room):
            if time.monotonic() > last_start:
                continue  # a slow computer: the proportions of the table stand in for what is not measured
            written = write_synthetic(trial.model, self._folder)
            try:
                model = TimedModel(trial.model.shape, trial.model.weight_bytes, trial.model.quant)
                self._trial(role, device, trial.name, written, model, trial.tests)
            finally:
                written.unlink(missing_ok=True)
        if role == "cpu":
            last = self._trial(role, device, "starter", path, starter, tests[:1])
            self._drift = first.writing / last.writing
            self.measured.remove(last)

    def _trial(
        self, role: Role, device: str, name: str, path: Path, model: TimedModel, tests: Sequence[BenchTest]
    ) -> Measured:
        """Measure one model, again if it was disturbed, and keep it."""
        note = text("Measuring {device}: {model}…", device=device, model=name)
        self._progress.update(self._done, self._steps, note)
        self._done += 1
        layers = model.shape.layers + 1 if role == "gpu" else 0
        threads = self._machine.cpu.usable_cores
        settings = LoadSettings(threads=threads, gpu_layers=layers)
        samples = self._undisturbed(path, settings, tests)
        subject = Subject(
            self._machine, name, model, Placement("gpu" if layers else "cpu", layers, 0, 0), settings
        )
        speeds: list[float] = []
        for test, nanoseconds in zip(tests, samples, strict=True):
            self._history.add_bench(subject, test, nanoseconds, calibration=self.name)
            speeds.append(1e9 * (test.prompt_tokens or test.generated_tokens) / min(nanoseconds))
        measured = Measured(device, name, speeds[0], speeds[1] if len(speeds) > 1 else None)
        self.measured.append(measured)
        return measured

    def _undisturbed(self, path: Path, settings: LoadSettings, tests: Sequence[BenchTest]) -> list[list[int]]:
        samples: list[list[int]] = []
        load = 0.0
        for _ in range(_TRIES):
            guard = self._load.guard(self._bencher.pid)
            samples = self._bencher.measure(path, settings, tests, self._progress, _TRIAL_SECONDS)
            load = guard.foreign_load()
            if not self._load.is_too_high(load):
                break
        self._load.judge(load)
        return samples


def _starter() -> tuple[Path, TimedModel]:
    path = starter_path()
    if path is None:
        raise ModelNotFound(
            text("The starter model is missing, and it is what speed is measured with."),
            hint=text("Run the set-up again."),
        )
    header = read_header(path)
    shape = shape_from_gguf(header.metadata, header.tensors)
    if shape is None:
        raise AssertionError("the starter model is a plain one")
    return path, TimedModel(shape, header.weight_bytes, header.quant)
