"""Asks every source about this computer at once, each with a deadline of its own."""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from localllm.core.hardware.apple import read_apple
from localllm.core.hardware.bandwidth import kept_bandwidth
from localllm.core.hardware.cgroups import Limits, read_limits
from localllm.core.hardware.engine_match import with_engine
from localllm.core.hardware.gpu_table import GpuTable
from localllm.core.hardware.graphics import Found
from localllm.core.hardware.memory import read_memory
from localllm.core.hardware.nvidia import read_nvidia
from localllm.core.hardware.pci import read_pci
from localllm.core.hardware.processor import plain_architecture, read_processor
from localllm.core.hardware.system import RunningSystem
from localllm.core.machine import Cpu, Disk, Machine, Memory
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localllm.core.hardware.sources import System
    from localllm.core.machine import EngineBuild, Gpu

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class _Task(Generic[_Answer]):
    """One question in a thread of its own; a thread that hangs is left behind."""

    def __init__(self, ask: Callable[[], _Answer], default: _Answer, missing: Text) -> None:
        self._ask = ask
        self._answer = default
        self._missing = missing
        self._answered = False
        self._thread = threading.Thread(target=self._run, name="hardware-probe", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._ask()
            self._answered = True
        except Exception:  # noqa: BLE001 - whatever a driver or a file makes go wrong is this task's only
            _log.warning("%s", self._missing, exc_info=True)

    def wait(self, end: float, notes: list[str]) -> _Answer:
        """Return the answer, or the default with a note when `end` (monotonic time) has passed."""
        self._thread.join(max(0.0, end - time.monotonic()))
        answered, answer = self._answered, self._answer
        if not answered:
            notes.append(str(self._missing))
        return answer


def probe(
    models: Path,
    *,
    engine: EngineBuild | None = None,
    measurements: Path | None = None,
    deadline: float = 3.0,
    system: System | None = None,
) -> Machine:
    """Return what this computer has, as it is now; never raises, and takes `deadline` seconds at most.

    Args:
        models: The models folder; the free space is that of its file system, also before it exists.
        engine: What the engine build can compute on, where that has been asked.
        measurements: `Paths.measurements_file`, for the measured memory bandwidth.
        deadline: Seconds; what has not answered by then is left out, with a sentence in `notes`.
        system: Another system to ask, for tests.
    """
    system = system or RunningSystem()
    start = time.monotonic()
    soon, end = start + deadline / 3, start + deadline
    notes: list[str] = []
    limits = _Task(
        lambda: read_limits(system), Limits(), text("The limits of this container could not be read.")
    )
    table = _Task(
        GpuTable.load, GpuTable({}, frozenset()), text("The table of graphics processors cannot be read.")
    )
    disk = _Task(
        lambda: read_disk(system, models), None, text("The disk of the models folder gives no answer.")
    )
    name = _Task(lambda: system_name(system), system.platform, text("The system's name could not be read."))
    known_limits, known_table = limits.wait(soon, notes), table.wait(soon, notes)  # others build on these
    cpu = _Task(
        lambda: read_processor(system, known_limits),
        Cpu("", plain_architecture(system.architecture), 1, 1, 1),
        text("The processor could not be read, so one core is assumed."),
    )
    memory = _Task(
        lambda: read_memory(system, known_limits),
        Memory(0, 0),
        text("The size of the memory could not be read."),
    )
    graphics = _start_graphics(system, known_table, end)
    known_cpu, known_memory = cpu.wait(end, notes), memory.wait(end, notes)
    kept = _Task(
        lambda: kept_bandwidth(measurements, known_cpu) if measurements else None,
        None,
        text("The measurements kept on this computer could not be read."),
    )
    machine = Machine(
        system=name.wait(end, notes),
        cpu=known_cpu,
        memory=known_memory,
        gpus=_merge(system, [task.wait(end, notes) for task in graphics], known_memory, notes),
        disk=disk.wait(end, notes),
        memory_bandwidth=kept.wait(end, notes),
        notes=tuple(notes),
    )
    return with_engine(machine, engine) if engine else machine


def _start_graphics(system: System, table: GpuTable, end: float) -> list[_Task[Found]]:
    left = max(0.1, end - time.monotonic() - 0.2)  # tools give up first, so that their own reason is noted
    if system.platform == "darwin":
        apple = text("The graphics part of this Mac could not be read.")
        return [_Task(lambda: Found(read_apple(system, table, left)), Found(), apple)]
    slow = text("NVIDIA's driver did not answer in time, so its cards are left out.")
    nvidia = _Task(lambda: read_nvidia(system, table, left), Found(), slow)
    if system.platform == "win32":
        from localllm.core.hardware.windows import read_windows_adapters

        adapters = text("The list of display adapters could not be read.")
        return [nvidia, _Task(lambda: Found(read_windows_adapters(system, table)), Found(), adapters)]
    bus = text("The list of graphics cards could not be read.")
    return [nvidia, _Task(lambda: Found(read_pci(system, table, left)), Found(), bus)]


def _merge(system: System, found: list[Found], memory: Memory, notes: list[str]) -> tuple[Gpu, ...]:
    """Put together what the sources saw: a vendor's own driver counts before the bus's list of its cards."""
    first = found[0].gpus
    answered = {gpu.vendor for gpu in first}
    rest = tuple(gpu for source in found[1:] for gpu in source.gpus if gpu.vendor not in answered)
    for source in found:
        notes += [note for note in source.notes if note not in notes]
    gpus = tuple(_share_memory(gpu, memory) for gpu in (*first, *rest))
    if not gpus and "dxg" in system.list_folder("/dev"):
        notes.append(str(text("Under Windows' Linux (WSL) only NVIDIA's cards can be seen.")))
    return tuple(sorted(gpus, key=lambda gpu: gpu.kind == "integrated"))


def _share_memory(gpu: Gpu, memory: Memory) -> Gpu:
    """A processor without memory of its own has what is free of the main memory, and no more."""
    if gpu.kind != "unified" or not memory.total:
        return gpu
    total = min(gpu.memory_total or memory.total, memory.total)
    return replace(gpu, memory_total=total, memory_free=min(total, memory.available))


def read_disk(system: System, folder: Path) -> Disk | None:
    """Return the file system that the folder is on, or will be on."""
    for path in (folder, *folder.parents):
        usage = system.disk(str(path))
        if usage is not None:
            return Disk(str(folder), *usage)
    return None


def system_name(system: System) -> str:
    """Return the system's name and version for people: "Linux 6.8 (Ubuntu 24.04.1 LTS)", "Windows 11"."""
    if system.platform == "darwin":
        return f"macOS {system.release}".strip()
    if system.platform == "win32":
        build = re.match(r"10\.0\.(\d+)", system.release)
        return f"Windows {11 if int(build[1]) >= 22000 else 10}" if build else f"Windows {system.release}"
    version = re.match(r"\d+\.\d+", system.release)
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', system.read_text("/etc/os-release") or "", re.MULTILINE)
    extra = [found[1]] if found else []
    if "microsoft" in system.release.lower():
        extra.append("WSL")
    return f"Linux {version[0] if version else system.release}" + (f" ({', '.join(extra)})" if extra else "")
