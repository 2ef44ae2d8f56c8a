"""What a Linux control group (a container, a service) lets this process use: memory, swap, processors.

Reads versions 1 and 2, also mixed, from the group up to the root of the mount; the tightest limit counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localllm.core.hardware.sources import System

_T = TypeVar("_T", int, float)
_UNLIMITED = 2**60  # version 1 writes the largest multiple of the page size instead of "max"


@dataclass(frozen=True)
class Limits:
    """What the control groups allow; None means no limit.

    Attributes:
        memory: Bytes, the tightest limit.
        memory_left: Bytes still free below the tightest level.
        swap: Bytes of swap.
        processors: Processor time per time: 1.5 is one and a half.
    """

    memory: int | None = None
    memory_left: int | None = None
    swap: int | None = None
    processors: float | None = None


@dataclass(frozen=True)
class Mount:
    """A control group hierarchy; `controllers` is empty for version 2."""

    root: str
    point: str
    controllers: frozenset[str] = field(default_factory=frozenset[str])


def read_limits(system: System) -> Limits:
    """Return what the control groups of this process allow."""
    mounts = parse_mounts(system.read_text("/proc/self/mountinfo") or "")
    groups = parse_groups(system.read_text("/proc/self/cgroup") or "")
    memory, left, swap, processors = list[int](), list[int](), list[int](), list[float]()
    for mount in mounts:
        for folder in _folders(mount, groups):

            def read(name: str, folder: str = folder) -> str:
                return (system.read_text(f"{folder}/{name}") or "").strip()

            found = _read_version_1(read) if mount.controllers else _read_version_2(read)
            memory += _present(found.memory)
            left += _present(found.memory_left)
            swap += _present(found.swap)
            processors += _present(found.processors)
    return Limits(
        min(memory, default=None),
        min(left, default=None),
        min(swap, default=None),
        min(processors, default=None),
    )


def _present(value: _T | None) -> list[_T]:
    return [] if value is None else [value]


def parse_mounts(mountinfo: str) -> list[Mount]:
    """Return the control group hierarchies in /proc/self/mountinfo that limit memory or processors."""
    mounts: list[Mount] = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if not separator or len(left) < 5 or not right:
            continue
        if right[0] == "cgroup2":
            mounts.append(Mount(left[3], left[4]))
        elif right[0] == "cgroup" and len(right) >= 3:
            controllers = frozenset(right[2].split(",")) & {"memory", "cpu"}
            if controllers:
                mounts.append(Mount(left[3], left[4], controllers))
    return mounts


def parse_groups(text: str) -> dict[str, str]:
    """Return the group's path for each controller in /proc/self/cgroup, "" standing for version 2."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            groups.update(dict.fromkeys(parts[1].split(","), parts[2]))
    return groups


def _folders(mount: Mount, groups: dict[str, str]) -> Iterator[str]:
    """Yield the group's folder and those above it, as far as this mount shows them."""
    path = groups.get(min(mount.controllers, default=""), "/")
    root = mount.root.rstrip("/")
    below = path[len(root) :] if path == root or path.startswith(root + "/") else ""
    parts = [part for part in below.split("/") if part]
    if ".." in parts:  # the group lies outside of what this container is shown
        parts = []
    for length in range(len(parts), -1, -1):
        yield "/".join([mount.point, *parts[:length]])


def _read_version_2(read: Callable[[str], str]) -> Limits:
    limit = min(filter(None, map(_size, (read("memory.max"), read("memory.high")))), default=None)
    quota, _, period = read("cpu.max").partition(" ")
    return Limits(
        limit,
        _left(limit, read("memory.current"), read("memory.stat"), "inactive_file"),
        _size(read("memory.swap.max")),
        _processors(quota, period or "100000"),
    )


def _read_version_1(read: Callable[[str], str]) -> Limits:
    limit = _size(read("memory.limit_in_bytes"))
    with_swap = _size(read("memory.memsw.limit_in_bytes"))
    return Limits(
        limit,
        _left(limit, read("memory.usage_in_bytes"), read("memory.stat"), "total_inactive_file"),
        max(0, with_swap - limit) if limit is not None and with_swap is not None else None,
        _processors(read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")),
    )


def _size(written: str) -> int | None:
    number = _number(written)
    return number if number is not None and number < _UNLIMITED else None


def _number(written: str) -> int | None:
    return int(written) if written.isascii() and written.isdigit() and len(written) < 20 else None


def _left(limit: int | None, used: str, statistics: str, reclaimable: str) -> int | None:
    in_use = _number(used)
    if limit is None or in_use is None:
        return None
    for line in statistics.splitlines():
        name, _, value = line.partition(" ")
        if name == reclaimable:
            in_use -= min(in_use, _number(value.strip()) or 0)
    return max(0, limit - in_use)


def _processors(quota: str, period: str) -> float | None:
    time, interval = _number(quota), _number(period)
    return time / interval if time and interval else None
