"""Tells how busy other programs keep this computer: what is measured beside them is not to be believed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import psutil

from localllm.errors import MachineBusy
from localllm.texts import Number, text

if TYPE_CHECKING:
    from localllm.texts import Text

MOST_FOREIGN_LOAD = 0.15  # of the usable cores
_IDLE_CHECK_SECONDS = 0.4


class Computer(Protocol):
    """What the guard needs to know; `core.hardware.bandwidth.RunningBench` is the real one."""

    def busy_seconds(self) -> float:
        """Return the processor seconds spent by anybody so far on the processors this process may use."""
        ...

    def own_seconds(self) -> float:
        """Return the processor seconds this process has spent."""
        ...


class LoadGuard:
    """Watches the processors while an engine measures.

    `engine` is the number of the process that measures; its time is not foreign.
    """

    def __init__(self, computer: Computer, cores: int, engine: int | None = None) -> None:
        self._computer, self._cores, self._engine = computer, cores, engine
        self.start()

    def start(self) -> None:
        """Begin a stretch of time."""
        self._began = time.monotonic()
        self._spent = self._foreign_seconds()

    def foreign_load(self) -> float:
        """Return the share of the usable cores that others have kept busy since `start`."""
        passed = max(1e-3, time.monotonic() - self._began)
        return max(0.0, self._foreign_seconds() - self._spent) / passed / self._cores

    def _foreign_seconds(self) -> float:
        return self._computer.busy_seconds() - self._computer.own_seconds() - self._engine_seconds()

    def _engine_seconds(self) -> float:
        if self._engine is None:
            return 0.0
        try:
            times = psutil.Process(self._engine).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system


def load_now(computer: Computer, cores: int) -> float:
    """Return the share of the usable cores that others keep busy, watched for a moment."""
    guard = LoadGuard(computer, cores)
    time.sleep(_IDLE_CHECK_SECONDS)
    return guard.foreign_load()


def require_idle(computer: Computer, cores: int) -> float:
    """Return `load_now`, if it is so little that it does not matter.

    Raises:
        MachineBusy: It is more.
    """
    load = load_now(computer, cores)
    if load > MOST_FOREIGN_LOAD:
        raise refusal(load)
    return load


def refusal(load: float, safe: Text | None = None) -> MachineBusy:
    """Return why nothing is measured beside programs that keep this share of the cores busy."""
    return MachineBusy(
        text(
            "Other programs keep {percent} % of the processor busy: a measurement would not be true.",
            percent=Number(100 * min(1.0, load)),
        ),
        safe=safe,
        hint=text("Try again when the computer is idle, or measure anyway."),
    )
