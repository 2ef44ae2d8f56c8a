"""What is known of this computer, found out in jobs after the window is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.ui.jobs import JobRunner, Reactions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.core.machine import Machine
    from localllm.paths import Paths
    from localllm.progress import Progress


class ThisComputer(QObject):
    """Probes once; asked again with `look_again`.

    Signals:
        changed: `machine` is known, or better known than before.
        failed: It could not be found out. arg: the exception.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, paths: Paths, jobs: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._paths, self._jobs = paths, jobs
        self.machine: Machine | None = None

    def look_again(self) -> None:
        """Probe the computer; `changed` comes twice: without the engine's devices and with them."""
        reactions = Reactions(yielded=self._on_machine, failed=self.failed.emit)
        self._jobs.run(self._probe, reactions)

    def memory_room(self) -> int:
        """Return the bytes that a model may take now; 0 while not known."""
        if self.machine is None:
            return 0
        from localllm.core.fit import budgets_of

        budgets = budgets_of(self.machine)
        return budgets.host.now if budgets.unified else budgets.host.now + budgets.gpu.now

    def _probe(self, progress: Progress) -> Iterator[Machine]:
        from localllm.core.engine_build import read_engine_build
        from localllm.core.hardware import probe, with_engine

        machine = probe(self._paths.models)
        progress.raise_if_cancelled()
        yield machine
        build = read_engine_build(self._paths)
        if build is not None:
            yield with_engine(machine, build)

    def _on_machine(self, machine: Machine) -> None:
        self.machine = machine
        self.changed.emit()
