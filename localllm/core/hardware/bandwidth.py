"""How fast this computer reads its memory: measured once, believed only when nothing else runs, and kept."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import localllm
from localllm.files import write_atomically
from localllm.processes import child_environment, python_arguments
from localllm.texts import Number, Text, text

if TYPE_CHECKING:
    from localllm.core.machine import Cpu
    from localllm.progress import Progress

_log = logging.getLogger(__name__)

_SECTION = "memory_bandwidth"
_CHILD = "localllm.core.hardware.read_speed"
_MAX_FOREIGN_LOAD = 0.15  # of the usable cores
_SIZE = 2**30  # bytes read in a pass: several times the last-level cache
_SHARE_OF_FREE = 4
_READING_SECONDS = 1.0
_IDLE_CHECK_SECONDS = 0.3
_CHILD_DEADLINE = 20.0
_SENSIBLE = (5e8, 5e12)  # bytes/s


@dataclass(frozen=True)
class Reading:
    """What the child measured: best bytes/s, and the processor seconds it took itself."""

    best: float
    cpu: float


class Bench(Protocol):
    """What a measurement needs of the computer; tests replace it."""

    def busy_seconds(self) -> float:
        """Return the processor seconds spent by anybody so far on the processors this process may use."""
        ...

    def own_seconds(self) -> float:
        """Return the processor seconds this process has spent."""
        ...

    def free_memory(self) -> int:
        """Return free bytes."""
        ...

    def read(self, threads: int, size: int, seconds: float) -> Reading:
        """Let the child measure.

        Raises:
            OSError, ValueError, subprocess.SubprocessError: It could not.
        """
        ...


class RunningBench:
    """The computer this process runs on."""

    def busy_seconds(self) -> float:
        """Return the processor seconds spent by anybody so far on the processors this process may use."""
        import psutil

        each = psutil.cpu_times(percpu=True)
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(each))
        return sum(_busy(each[number]) for number in allowed if number < len(each))

    def own_seconds(self) -> float:
        """Return the processor seconds this process has spent."""
        return time.process_time()

    def free_memory(self) -> int:
        """Return free bytes."""
        import psutil

        return psutil.virtual_memory().available

    def read(self, threads: int, size: int, seconds: float) -> Reading:
        """Let the child measure."""
        ended = subprocess.run(
            python_arguments(_CHILD, str(threads), str(size), str(seconds)),
            capture_output=True,
            check=True,
            timeout=_CHILD_DEADLINE,
            cwd=Path(localllm.__file__).parent.parent,
            env=child_environment(),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        answer = json.loads(ended.stdout)
        return Reading(float(answer["best"]), float(answer["cpu"]))


def _busy(times: Any) -> float:
    """Everything but idling; a hypervisor's stolen time counts too, for somebody else had the core."""
    names = ("user", "system", "nice", "irq", "softirq", "steal", "interrupt", "dpc")
    return sum(getattr(times, name, 0.0) for name in names)


def measure_memory_bandwidth(
    measurements: Path, cpu: Cpu, progress: Progress, *, force: bool = False, bench: Bench | None = None
) -> float | None:
    """Return the read bandwidth of all usable cores in bytes/s: the kept value, or a new one, then kept.

    None when it could not be measured honestly; the last `progress` note says why.

    Args:
        measurements: `Paths.measurements_file`.
        cpu: The processor the value is kept for, together with its usable cores.
        progress: Told before, and at the end.
        force: Measure also where there is a kept value.
        bench: Another computer, for tests.

    Raises:
        Cancelled: Somebody asked to stop before it began.
    """
    kept = None if force else kept_bandwidth(measurements, cpu)
    if kept is not None:
        return kept
    progress.update(0, 1, text("Measuring how fast the memory can be read…"))
    result = _measure(cpu.usable_cores, bench or RunningBench())
    if isinstance(result, Text):
        progress.update(1, 1, result)
        return None
    try:
        _keep(measurements, cpu, result)
    except OSError:
        _log.warning("The measured bandwidth could not be kept", exc_info=True)
    progress.update(1, 1, text("Memory is read at {speed} GB/s.", speed=Number(result / 1e9, 1)))
    return result


def _measure(cores: int, bench: Bench) -> float | Text:
    """Return the bandwidth, or why it is not to be believed."""
    size = min(_SIZE, bench.free_memory() // _SHARE_OF_FREE) // 4096 * 4096
    if size < 2**26:
        return text("There is too little free memory to measure its speed.")
    before, own, start = bench.busy_seconds(), bench.own_seconds(), time.monotonic()
    time.sleep(_IDLE_CHECK_SECONDS)
    load = _foreign_load(bench, before, own, start, cores)
    if load > _MAX_FOREIGN_LOAD:
        return _too_busy(load)
    before, own, start = bench.busy_seconds(), bench.own_seconds(), time.monotonic()
    try:
        reading = bench.read(cores, size, _READING_SECONDS)
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
        _log.warning("Memory bandwidth: %s", error, exc_info=True)
        return text("The speed of the memory could not be measured: the measuring process failed.")
    load = _foreign_load(bench, before + reading.cpu, own, start, cores)
    if load > _MAX_FOREIGN_LOAD:
        return _too_busy(load)
    if not _SENSIBLE[0] <= reading.best <= _SENSIBLE[1]:
        return text("The speed of the memory came out as an impossible value.")
    return reading.best


def _foreign_load(bench: Bench, before: float, own: float, start: float, cores: int) -> float:
    """Return the share of the usable cores that others have kept busy since `start`."""
    spent = bench.busy_seconds() - before - (bench.own_seconds() - own)
    return max(0.0, spent) / max(1e-3, time.monotonic() - start) / cores


def _too_busy(load: float) -> Text:
    return text(
        "Other programs kept {percent} % of the cores busy, so the speed of the memory was not measured: "
        "try again when the computer is idle.",
        percent=Number(100 * load),
    )


def kept_bandwidth(measurements: Path, cpu: Cpu) -> float | None:
    """Return the bandwidth measured earlier with this processor and as many cores, in bytes/s."""
    section = _read(measurements).get(_SECTION)
    if not isinstance(section, dict):
        return None
    entry: object = cast("dict[str, object]", section).get(_key(cpu))
    value: object = (
        cast("dict[str, object]", entry).get("bytes_per_second") if isinstance(entry, dict) else None
    )
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value) if _SENSIBLE[0] <= value <= _SENSIBLE[1] else None


def _keep(measurements: Path, cpu: Cpu, value: float) -> None:
    everything = _read(measurements)
    section = everything.get(_SECTION)
    entries = cast("dict[str, object]", section) if isinstance(section, dict) else {}
    entry = {"bytes_per_second": round(value), "measured": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    everything[_SECTION] = entries | {_key(cpu): entry}
    write_atomically(measurements, json.dumps(everything, indent=1).encode())


def _key(cpu: Cpu) -> str:
    return f"{cpu.name} | {cpu.usable_cores}"


def _read(measurements: Path) -> dict[str, object]:
    """Return the file's content; a missing or damaged file counts as empty."""
    try:
        content: object = json.loads(measurements.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, object]", content) if isinstance(content, dict) else {}
