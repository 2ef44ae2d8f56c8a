"""What this process holds in main memory, as the system counts it."""

from __future__ import annotations

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
