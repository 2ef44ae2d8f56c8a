"""What this process holds in main memory, as the system counts it."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Resident:
    """Bytes: `own` memory of the process, and `files` it has mapped (libraries, weights)."""

    own: int = 0
    files: int = 0


def read_resident() -> Resident:
    """Return what is resident now."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:  # not Linux: what is not shared stands for what is its own
        memory = psutil.Process().memory_full_info()
        return Resident(memory.uss, memory.rss - memory.uss)
    sizes = {name: rest for name, _, rest in (line.partition(":") for line in lines)}

    def size(name: str) -> int:
        return int(sizes.get(name, "0").split()[0]) * 1024

    return Resident(size("RssAnon"), size("RssFile"))


def forget_peak() -> None:
    """Let `read_peak` count from here, where the system can: Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def read_peak() -> int:
    """Return the most bytes that were resident at a time, mapped files included; 0 = not known."""
    with contextlib.suppress(OSError, ValueError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    return _peak_of_life()


def _peak_of_life() -> int:
    if sys.platform != "darwin":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
