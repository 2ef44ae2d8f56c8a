"""How many threads quantizing pays for: the processors that this process may use, cgroup quota included."""

from __future__ import annotations

import os
import sys

from localllm.core.hardware.cgroups import read_limits
from localllm.core.hardware.system import RunningSystem


def usable_threads() -> int:
    """Return a number of threads, 1 at least; llama.cpp itself knows nothing of a quota."""
    count = os.cpu_count() or 1
    if sys.platform != "linux":
        return count
    count = min(count, len(os.sched_getaffinity(0)))
    quota = read_limits(RunningSystem()).processors
    return count if quota is None else max(1, min(count, round(quota)))
