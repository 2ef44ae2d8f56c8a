"""Watches the computer while it measures, and says what disturbed which repetition."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from localllm.core.calibration.guard import MOST_FOREIGN_LOAD, LoadGuard, require_idle
from localllm.core.calibration.state import hottest, on_battery

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.bench.energy import Meters, Reading
    from localllm.core.calibration.guard import Computer

_SHORTEST_STRETCH = 0.2  # seconds: the system counts processor time in hundredths
_HOT = 95.0  # °C: processors slow themselves down from about here
_SLOWED_DOWN = 0.85  # of the highest clock seen while measuring
_SWAPPED = 16 << 20  # bytes during one test
_POWER_FILES = (
    Path("/sys/firmware/acpi/platform_profile"),
    Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
)


@dataclass(frozen=True)
class Conditions:
    """The computer at one moment.

    Attributes:
        clock: Of the processor, MHz; None = not known, as are the others.
        hottest: °C.
        power_mode: What the system calls it: "balanced performance".
        swapped: Bytes moved to and from swap since the start of the system.
    """

    battery: bool
    clock: float | None
    hottest: float | None
    power_mode: str
    swapped: int

    def to_record(self) -> dict[str, Any]:
        """Return JSON data."""
        return asdict(self)


def read_conditions() -> Conditions:
    """Ask the system; takes milliseconds."""
    with contextlib.suppress(OSError, RuntimeError, NotImplementedError):
        swap = psutil.swap_memory()
        return Conditions(on_battery(), _clock(), hottest(), _power_mode(), swap.sin + swap.sout)
    return Conditions(on_battery(), _clock(), hottest(), _power_mode(), 0)


def _clock() -> float | None:
    with contextlib.suppress(OSError, RuntimeError, NotImplementedError, AttributeError):
        found = psutil.cpu_freq()
        return found.current if found else None
    return None


def _power_mode() -> str:
    words: list[str] = []
    for file in _POWER_FILES:
        with contextlib.suppress(OSError):
            words.append(file.read_text().strip())
    return " ".join(words)


class Guard:
    """Says of each repetition what disturbed it, and what energy it took.

    Args:
        computer: Whose processors are watched.
        cores: That may be used.
        meters: Of energy.
        look: Reads the other conditions.
    """

    def __init__(
        self, computer: Computer, cores: int, meters: Meters, look: Callable[[], Conditions] = read_conditions
    ) -> None:
        self._computer, self._cores, self._look = computer, cores, look
        self.meters = meters
        self.start = look()
        self._fastest = 0.0
        self.highest_load = 0.0

    def require_idle(self) -> None:
        """Refuse to measure beside busy programs.

        Raises:
            MachineBusy: There are some.
        """
        self.highest_load = max(self.highest_load, require_idle(self._computer, self._cores))

    def watch(self, engine: int) -> TestWatch:
        """Begin to watch a test; `engine` is the number of the process that measures."""
        return TestWatch(self, LoadGuard(self._computer, self._cores, engine), self._look())

    def reasons(self, before: Conditions) -> tuple[str, ...]:
        """Return what speaks against all of a test that has just ended."""
        after = self._look()
        found: list[str] = []
        if after.swapped - before.swapped > _SWAPPED:
            found.append("swap")
        if (after.hottest or 0.0) >= _HOT:
            found.append("heat")
        if after.battery != self.start.battery or after.power_mode != self.start.power_mode:
            found.append("battery")
        if after.clock:
            self._fastest = max(self._fastest, after.clock)
            if after.clock < _SLOWED_DOWN * self._fastest:
                found.append("clock")
        return tuple(found)


class TestWatch:
    """Watches one test: `begin` after its warm-up, `sample` after each repetition, `end` at last."""

    __test__ = False  # pytest

    def __init__(self, guard: Guard, load: LoadGuard, before: Conditions) -> None:
        self._guard, self._load, self._before = guard, load, before
        self._began = time.monotonic()
        self._open = 0
        self._busy: list[bool] = []
        self._energy: list[Reading] = []

    def sample(self) -> None:
        """A repetition has ended; short ones are judged several together."""
        self._open += 1
        if shown := self._guard.meters.read():
            self._energy.append(shown)
        if time.monotonic() - self._began >= _SHORTEST_STRETCH:
            self._judge()

    def end(self) -> tuple[tuple[str, ...], ...]:
        """Return what disturbed each repetition."""
        if self._open:
            self._judge()
        whole = self._guard.reasons(self._before)
        return tuple((("load", *whole) if busy else whole) for busy in self._busy)

    def energy(self) -> float:
        """Return the joules of one repetition; 0 where no meter tells, or there was only one repetition.

        The first one's end is where it begins: nobody says when the warm-up has ended.
        """
        if len(self._energy) < max(2, len(self._busy)):  # a meter that failed now and then
            return 0.0
        return self._energy[-1].since(self._energy[0]) / (len(self._energy) - 1)

    def _judge(self) -> None:
        load = self._load.foreign_load()
        self._guard.highest_load = max(self._guard.highest_load, load)
        self._busy += [load > MOST_FOREIGN_LOAD] * self._open
        self._open, self._began = 0, time.monotonic()
        self._load.start()
