"""What is known of this computer, found out in jobs after the window is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.ui.jobs import HowFar, JobRunner, Reactions
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.core.machine import EngineBuild, Machine
    from localllm.paths import Paths
    from localllm.progress import Progress


class ThisComputer(QObject):
    """Probes once; asked again with `look_again`.

    Signals:
        changed: `machine` is known, or better known than before.
        failed: It could not be found out. arg: the exception.
        said: Something happened that is worth a word. arg: a sentence.
    """

    changed = Signal()
    said = Signal(str)
    failed = Signal(object)

    def __init__(self, paths: Paths, jobs: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._paths, self._jobs = paths, jobs
        self.machine: Machine | None = None
        self._build: EngineBuild | None = None

    def look_again(self) -> None:
        """Probe the computer; `changed` comes twice: without the engine's devices and with them."""
        reactions = Reactions(yielded=self._on_machine, failed=self.failed.emit)
        self._jobs.run(self._probe, reactions)

    def measure_bandwidth(self) -> None:
        """Measure how fast the memory can be read, and probe again."""
        machine, file = self.machine, self._paths.measurements_file
        if machine is None:
            return

        def work(progress: Progress) -> object:
            from localllm.core.hardware import measure_memory_bandwidth

            return measure_memory_bandwidth(file, machine.cpu, progress, force=True)

        reactions = Reactions(
            progressed=self._on_measuring, failed=self.failed.emit, finished=self.look_again
        )
        self._jobs.run(work, reactions)

    def _probe(self, progress: Progress) -> Iterator[Machine]:
        from localllm.core.engine_build import read_engine_build
        from localllm.core.hardware import probe, with_engine

        machine = probe(self._paths.models, measurements=self._paths.measurements_file)
        progress.raise_if_cancelled()
        if self._build is not None:
            machine = with_engine(machine, self._build)
        yield machine
        if self._build is None:
            self._build = read_engine_build()
            if self._build is not None:
                yield with_engine(machine, self._build)

    def _on_machine(self, machine: Machine) -> None:
        self.machine = machine
        self.changed.emit()

    def _on_measuring(self, how_far: HowFar) -> None:
        if how_far.note is not None:
            self.said.emit(say(how_far.note))
