"""What this computer is, in six facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from localllm.texts import Bytes, Number, plural, text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import IconLabel, make_button, make_label

if TYPE_CHECKING:
    from localllm.core.machine import Cpu, Gpu, Machine
    from localllm.ui.theme import Theme

_COLUMNS = 3


class _Fact(QWidget):
    """An icon, what it is about, the fact, and a detail."""

    def __init__(self, theme: Theme, icon: str, caption: str) -> None:
        super().__init__()
        self._value = make_label(role="strong", wrap=True)
        self._detail = make_label(role="small", wrap=True)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(IconLabel(theme, icon, "accent", 22), 0, Qt.AlignmentFlag.AlignTop)
        self.column = QVBoxLayout()
        self.column.setSpacing(2)
        self.column.addWidget(make_label(caption, "caption"))
        self.column.addWidget(self._value)
        self.column.addWidget(self._detail)
        self.column.addStretch(1)
        row.addLayout(self.column, 1)

    def show_fact(self, value: str, detail: str) -> None:
        """Show the fact."""
        self._value.setText(value)
        self._detail.setText(detail)
        self._detail.setVisible(bool(detail))


class ComputerCard(QFrame):
    """Processor, memory, graphics, engine, disk, bandwidth.

    Signals:
        measuring_asked: The memory's bandwidth is to be measured.
    """

    measuring_asked = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._cpu = _Fact(theme, "processor", self.tr("Processor"))
        self._memory = _Fact(theme, "memory", self.tr("Memory"))
        self._graphics = _Fact(theme, "graphics", self.tr("Graphics"))
        self._engine = _Fact(theme, "engine", self.tr("The engine computes on"))
        self._disk = _Fact(theme, "disk", self.tr("Disk for models"))
        self._bandwidth = _Fact(theme, "speed", self.tr("Memory speed"))
        self._measure = make_button(self.tr("Measure"), name=self.tr("Measure the memory's speed"))
        self._measure.clicked.connect(self.measuring_asked)
        self._measure.setVisible(False)
        self._bandwidth.column.insertWidget(3, self._measure, 0, Qt.AlignmentFlag.AlignLeft)
        self._notes = make_label(role="small", wrap=True)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(18, 16, 18, 16)
        outer.setSpacing(10)
        grid = QGridLayout()
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(16)
        facts = (self._cpu, self._memory, self._graphics, self._engine, self._disk, self._bandwidth)
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
        free = text("{free} free now", free=Bytes(memory.available))
        limit = text(
            "limited to {limit} here · {free} free now",
            limit=Bytes(memory.limit or 0),
            free=Bytes(memory.available),
        )
        self._memory.show_fact(
            say(text("{total}", total=Bytes(memory.total))), say(limit if memory.limit else free)
        )
        self._show_graphics(machine.gpus)
        self._show_engine(machine)
        if machine.disk is not None:
            disk = text("{free} free", free=Bytes(machine.disk.free))
            self._disk.show_fact(say(disk), machine.disk.path)
        self._show_bandwidth(machine)
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

    def _show_bandwidth(self, machine: Machine) -> None:
        measured = machine.memory_bandwidth
        self._measure.setVisible(measured is None)
        if measured is None:
            why = self.tr("It decides how fast a model answers; takes a few seconds.")
            self._bandwidth.show_fact(self.tr("Not measured yet"), why)
            return
        speed = text("{speed} GB/s", speed=Number(measured / 1e9, 1))
        self._bandwidth.show_fact(say(speed), self.tr("measured here"))


def _describe_cores(cpu: Cpu) -> str:
    cores = plural(cpu.physical_cores, "{count} core", "{count} cores")
    if cpu.usable_cores < cpu.physical_cores:
        return say(text("{cores}, {usable} usable here", cores=cores, usable=cpu.usable_cores))
    threads = plural(cpu.logical_cores, "{count} thread", "{count} threads")
    return say(text("{cores}, {threads}", cores=cores, threads=threads))


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
