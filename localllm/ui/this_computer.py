"""What is known of this computer, found out in jobs after the window is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.ui.jobs import HowFar, Job, JobRunner, Reactions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.core.calibration import CalibrationResult
    from localllm.core.machine import EngineBuild, Machine
    from localllm.core.speed import SpeedHistory
    from localllm.paths import Paths
    from localllm.progress import Progress


class ThisComputer(QObject):
    """Probes once; asked again with `look_again`.

    Signals:
        changed: `machine` is known, or better known than before.
        failed: It could not be found out. arg: the exception.
        measuring: A measurement goes on. arg: `HowFar`.
        measured: arg: `CalibrationResult`, or None where it was given up or failed. Always last.
    """

    changed = Signal()
    failed = Signal(object)
    measuring = Signal(object)
    measured = Signal(object)

    def __init__(
        self, paths: Paths, jobs: JobRunner, speeds: SpeedHistory, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._paths, self._jobs, self._speeds = paths, jobs, speeds
        self._measuring: Job | None = None
        self._result: CalibrationResult | None = None
        self.machine: Machine | None = None
        self._build: EngineBuild | None = None

    def look_again(self) -> None:
        """Probe the computer; `changed` comes twice: without the engine's devices and with them."""
        reactions = Reactions(yielded=self._on_machine, failed=self.failed.emit)
        self._jobs.run(self._probe, reactions)

    def take_engine(self, build: EngineBuild) -> None:
        """Go by another answer of the engine on what it can compute on."""
        self._build = build
        self.look_again()

    def measure(self, *, anyway: bool = False) -> None:
        """Measure how fast this computer runs models, and its memory if that was never measured.

        `anyway` measures also beside busy programs.
        """
        if self._measuring is not None:
            return
        self._result = None
        reactions = Reactions(
            progressed=self.measuring.emit,
            succeeded=self._on_measured,
            failed=self.failed.emit,
            finished=self._on_measuring_ended,
        )
        self._measuring = self._jobs.run(lambda progress: self._measure(progress, anyway=anyway), reactions)
        self.measuring.emit(HowFar(0, 0, None))

    def cancel_measuring(self) -> None:
        """Give the measurement up."""
        if self._measuring is not None:
            self._measuring.cancel()

    def _measure(self, progress: Progress, *, anyway: bool) -> CalibrationResult:
        from localllm.core.calibration import calibrate
        from localllm.core.hardware import measure_memory_bandwidth

        machine = self._look()
        result = calibrate(self._paths, machine, self._speeds, progress, anyway=anyway)
        if machine.memory_bandwidth is None:
            measure_memory_bandwidth(self._paths.measurements_file, machine.cpu, progress)
        return result

    def _on_measured(self, result: CalibrationResult) -> None:
        self._result = result

    def _on_measuring_ended(self) -> None:
        self._measuring = None
        self.measured.emit(self._result)
        if self._result is not None:
            self.look_again()

    def _look(self) -> Machine:
        """Probe, with the engine's devices where they are known."""
        from localllm.core.hardware import probe, with_engine

        machine = probe(self._paths.models, measurements=self._paths.measurements_file)
        return with_engine(machine, self._build) if self._build is not None else machine

    def _probe(self, progress: Progress) -> Iterator[Machine]:
        from localllm.core.engine_build import read_engine_build
        from localllm.core.hardware import with_engine

        machine = self._look()
        progress.raise_if_cancelled()
        yield machine
        if self._build is None:
            self._build = read_engine_build()
            if self._build is not None:
                yield with_engine(machine, self._build)

    def _on_machine(self, machine: Machine) -> None:
        self.machine = machine
        self.changed.emit()
