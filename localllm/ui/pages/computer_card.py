"""What this computer is, in six facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFrame, QGridLayout, QVBoxLayout

from localllm.core.fit import budgets_of
from localllm.texts import Bytes, plural, text
from localllm.ui.pages.speed_fact import SpeedFact
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.fact import Fact

if TYPE_CHECKING:
    from localllm.core.machine import Cpu, Gpu, Machine
    from localllm.ui.theme import Theme

_COLUMNS = 3


class ComputerCard(QFrame):
    """Processor, memory, graphics, engine, disk, and how well its speed is known."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._cpu = Fact(theme, "processor", self.tr("Processor"))
        self._memory = Fact(theme, "memory", self.tr("Memory"))
        self._graphics = Fact(theme, "graphics", self.tr("Graphics"))
        self._engine = Fact(theme, "engine", self.tr("The engine computes on"))
        self._disk = Fact(theme, "disk", self.tr("Disk for models"))
        self.speed = SpeedFact(theme)
        self._notes = make_label(role="small", wrap=True)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(18, 16, 18, 16)
        outer.setSpacing(10)
        grid = QGridLayout()
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(16)
        facts = (self._cpu, self._memory, self._graphics, self._engine, self._disk, self.speed)
        for number, fact in enumerate(facts):
            grid.addWidget(fact, number // _COLUMNS, number % _COLUMNS)
            fact.show_fact(self.tr("looking…"), "")
        for column in range(_COLUMNS):
            grid.setColumnStretch(column, 1)
        outer.addLayout(grid)
        outer.addWidget(self._notes)
        self._notes.hide()

    def show_machine(self, machine: Machine) -> None:
        """Show what is known."""
        self._cpu.show_fact(machine.cpu.name or machine.cpu.architecture, _describe_cores(machine.cpu))
        memory = machine.memory
        self._memory.show_fact(say(text("{total}", total=Bytes(memory.total))), _describe_memory(machine))
        self._show_graphics(machine.gpus)
        self._show_engine(machine)
        if machine.disk is not None:
            disk = text("{free} free", free=Bytes(machine.disk.free))
            self._disk.show_fact(say(disk), machine.disk.path)
        self.speed.show_bandwidth(machine.memory_bandwidth)
        self._notes.setText(" ".join(say(note) for note in machine.notes))
        self._notes.setVisible(bool(machine.notes))

    def _show_graphics(self, gpus: tuple[Gpu, ...]) -> None:
        if not gpus:
            self._graphics.show_fact(self.tr("None found"), self.tr("Models run on the processor."))
            return
        details = [line for gpu in gpus for line in _describe_gpu(gpu)]
        self._graphics.show_fact(", ".join(gpu.name for gpu in gpus), "\n".join(details))

    def _show_engine(self, machine: Machine) -> None:
        if machine.engine is None:
            self._engine.show_fact(self.tr("looking…"), "")
            return
        names = [device.description or device.name for device in machine.engine.devices]
        features = ", ".join(machine.cpu.features[-6:])
        version = text("llama.cpp {version}", version=machine.engine.version)
        self._engine.show_fact(
            ", ".join(dict.fromkeys(names)) or "CPU", "\n".join(filter(None, [say(version), features]))
        )


def _describe_cores(cpu: Cpu) -> str:
    cores = plural(cpu.physical_cores, "{count} core", "{count} cores")
    if cpu.usable_cores < cpu.physical_cores:
        return say(text("{cores}, {usable} usable here", cores=cores, usable=cpu.usable_cores))
    threads = plural(cpu.logical_cores, "{count} thread", "{count} threads")
    return say(text("{cores}, {threads}", cores=cores, threads=threads))


def _describe_memory(machine: Machine) -> str:
    """Say what is free, and why a model may have less."""
    memory, budgets = machine.memory, budgets_of(machine)
    free = text("{free} free now", free=Bytes(memory.available))
    limit = text("limited to {limit} here", limit=Bytes(memory.limit or 0))
    kept = text(
        "{room} for models: {margin} are kept against swapping",
        room=Bytes(budgets.host.now),
        margin=Bytes(budgets.kept.now),
    )
    parts = (limit, free, kept) if memory.limit else (free, kept)
    return "\n".join(say(part) for part in parts)


def _describe_gpu(gpu: Gpu) -> list[str]:
    lines: list[str] = []
    if gpu.memory_total and gpu.memory_free is not None:
        sizes = text("{total}, {free} free now", total=Bytes(gpu.memory_total), free=Bytes(gpu.memory_free))
        lines.append(say(sizes))
    elif gpu.memory_total:
        lines.append(say(text("{total}", total=Bytes(gpu.memory_total))))
    if gpu.usable is False:
        lines.append(say(text("Not usable by this engine.")))
        lines += [say(gpu.remedy)] if gpu.remedy else []
    elif gpu.usable:
        lines.append(say(text("The engine can use it.")))
    return lines
