"""The one estimator: what recommendation, load dialog, warning, command line and loader go by.

*exact*: llama.cpp's own no-alloc dry run on the header, for the very settings, per device. *formula*: the
closed form, where there is no header or the computer is another one. Where neither is to be had, there is no
number. Overheads are those measured at earlier loads here, else constants.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.core.engine_limits import as_used, weight_layout_works, without_weight_layout
from localllm.core.estimate.dry_runs import DryRuns
from localllm.core.estimate.loads import Load, LoadHistory, engine_overhead, gpu_overhead, host_overhead
from localllm.core.estimate.places import ExactPlaces
from localllm.core.estimate.records import HOST, DeviceMemory, Estimate, Question
from localllm.core.fit import budgets_of, place_as, place_within
from localllm.core.fit.placement import driver_share, growth
from localllm.core.speed import SpeedHistory, predict_speed
from localllm.core.speed.history import key_of
from localllm.engine.protocol import LoadSettings
from localllm.engine.version import engine_version
from localllm.errors import NeedsHeader
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.fit import Budgets, MemoryEstimate, Placement, Verdict
    from localllm.core.machine import Machine
    from localllm.core.speed import SpeedEstimate
    from localllm.paths import Paths
    from localllm.progress import Progress


class Estimator:
    """May be used from any thread; keeps an inspector child between questions, `rest` ends it."""

    def __init__(
        self, limits_file: Path, dry_runs_file: Path, loads_file: Path, speeds: SpeedHistory
    ) -> None:
        self.limits_file = limits_file
        self.speeds = speeds
        self._dry_runs = DryRuns(dry_runs_file)
        self._loads = LoadHistory(loads_file)

    @classmethod
    def for_paths(cls, paths: Paths) -> Estimator:
        """Return the estimator of this user."""
        speeds = SpeedHistory(paths.speeds_file)
        return cls(paths.engine_limits_file, paths.dry_runs_file, paths.loads_file, speeds)

    def estimate(self, question: Question, progress: Progress | None = None) -> Estimate:
        """Answer a question.

        Raises:
            NeedsHeader: There is no header, and the closed form does not cover this architecture.
            BadModelFile, EngineError: llama.cpp refuses the file or the settings.
            Cancelled: Through `progress`.
        """
        question = self._as_engine_uses_it(question)
        ask = question.here and (question.exact or question.subject.shape is None)
        answer = self._exact(question, progress) if ask and question.subject.file else None
        answer = answer or self._formula(question)
        return replace(answer, speed=self._speed(question, answer), last_load=self._last_load(question))

    def as_used(self, machine: Machine) -> Machine:
        """Describe this computer as the engine uses it, with what was learned from earlier loads."""
        overhead = engine_overhead(self._loads.last(place_of(machine), HOST))
        return replace(as_used(self.limits_file, machine), engine_overhead=overhead)

    def rest(self) -> None:
        """End the inspector child, and give back what it holds."""
        self._dry_runs.rest()

    def remember(self, load: Load) -> None:
        """Learn from what a load really took."""
        self._loads.add(load)

    def _as_engine_uses_it(self, question: Question) -> Question:
        machine = self.as_used(question.machine) if question.here else question.machine
        works = question.extra_buffers and weight_layout_works(self.limits_file, machine)
        if not question.extra_buffers:
            machine = without_weight_layout(machine)
        return replace(question, machine=machine, extra_buffers=works)

    def _formula(self, question: Question) -> Estimate:
        subject, budgets = question.subject, budgets_of(question.machine)
        if subject.shape is None:
            if subject.file is not None:
                raise NeedsHeader(
                    text("llama.cpp could not say how much memory “{name}” takes.", name=subject.name),
                    hint=text("For its architecture there is no formula. Try again, or load it anyway."),
                )
            raise NeedsHeader(
                text("The memory of “{name}” cannot be computed without its file.", name=subject.name),
                hint=text("Its architecture needs the header: download the file, or name it on the Hub."),
            )
        arguments = (budgets, subject.shape, subject.weights + question.adapters, question.settings)
        placement, memory, verdict = (
            place_as(*arguments, question.placing, subject.of_experts)
            if question.placing
            else place_within(*arguments, subject.of_experts)
        )
        return _formula_estimate(question, placement, memory, verdict, budgets)

    def _exact(self, question: Question, progress: Progress | None) -> Estimate | None:
        places = ExactPlaces(question, self._dry_runs, self._overheads(question), progress)
        placing = question.placing
        return places.best() if placing is None or placing.gpu_layers < 0 else places.chosen(placing)

    def _overheads(self, question: Question) -> tuple[int | None, int | None, int]:
        """Return the engine's own bytes without a GPU and with one, and the drivers' bytes."""
        machine, subject = question.machine, question.subject
        names = machine.engine_gpus
        place = place_of(machine)
        loads = self._loads.last(place, HOST)
        cpu = host_overhead(loads, subject.key, subject.vocabulary)
        if not names:
            return cpu, None, 0
        loads = self._loads.last(place, backend_of(names))
        budgets = budgets_of(machine)
        learned = gpu_overhead(loads, subject.key)
        plain = replace(question.settings, kv_type_k="f16", kv_type_v="f16")  # a dry run counts unpacking
        driver = (
            driver_share(budgets.gpus, subject.shape, plain)
            if learned is None
            else learned + growth(len(names), subject.shape, plain)
        )
        return cpu, host_overhead(loads, subject.key, subject.vocabulary), driver

    def _speed(self, question: Question, answer: Estimate) -> SpeedEstimate | None:
        subject, settings, placement = question.subject, question.settings, answer.placement
        if subject.shape is None:
            return None
        measured = None
        if question.here and subject.file is not None:
            as_loaded = LoadSettings(
                kv_type_k=settings.kv_type_k,
                kv_type_v=settings.kv_type_v,
                flash_attention=settings.flash_attention,
            )
            measured = key_of(subject.file.name, placement, as_loaded)
        machine = question.machine
        used = min(question.threads or machine.cpu.usable_cores, machine.cpu.usable_cores)
        return predict_speed(
            replace(machine, cpu=replace(machine.cpu, usable_cores=used)),
            subject.shape,
            subject.weights,
            placement,
            settings,
            self.speeds.fits(machine, question.threads or None) if question.here else None,
            quant=subject.quant,
            measured=measured,
        )

    def _last_load(self, question: Question) -> Load | None:
        if not question.here or not question.subject.key:
            return None
        place, names = place_of(question.machine), question.machine.engine_gpus
        loads = [
            *self._loads.last(place, HOST),
            *(self._loads.last(place, backend_of(names)) if names else ()),
        ]
        own = [load for load in loads if load.model == question.subject.key]
        return max(own, key=lambda load: load.at, default=None)


def place_of(machine: Machine) -> str:
    """Name this computer and its engine, for which what was measured holds."""
    return " | ".join([machine.cpu.name, *(gpu.name for gpu in machine.gpus), engine_version()])


def backend_of(names: tuple[str, ...]) -> str:
    """Name what computes together: "CPU", "CPU+CUDA0"."""
    return "+".join((HOST, *names))


def _formula_estimate(
    question: Question, placement: Placement, memory: MemoryEstimate, verdict: Verdict, budgets: Budgets
) -> Estimate:
    parts = (memory.weights, memory.kv, memory.compute, memory.output, memory.overhead)
    if placement.kind == "cpu":
        devices: tuple[DeviceMemory, ...] = (DeviceMemory(HOST, memory.total, *parts),)
    else:
        devices = (DeviceMemory(HOST, placement.host_bytes), DeviceMemory("GPU", placement.gpu_bytes))
    return Estimate(question.subject, question.settings, memory, devices, placement, verdict, budgets)
