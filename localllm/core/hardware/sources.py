"""What the probes may ask of a system; tests put recorded machines in the running one's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ToolFailed(Exception):
    """A tool or driver gave no usable answer; the text is for the log.

    Attributes:
        slow: Whether it was given up because it took too long.
    """

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        super().__init__(reason)
        self.slow = slow


@dataclass(frozen=True)
class NvmlGpu:
    """What NVIDIA's management library says of a card; None where the card does not support the question."""

    name: str
    bus_id: str
    memory_total: int | None = None
    memory_free: int | None = None
    bus_width: int | None = None  # bits
    memory_clock: int | None = None  # MHz


@dataclass(frozen=True)
class NvmlSnapshot:
    """Every NVIDIA card."""

    driver: str
    gpus: tuple[NvmlGpu, ...]


@dataclass(frozen=True)
class MemoryNumbers:
    """Main memory in bytes."""

    total: int
    available: int
    swap_total: int = 0
    swap_free: int = 0


class System(Protocol):
    """What the probes may ask."""

    platform: str  # as sys.platform
    architecture: str  # as platform.machine()
    release: str  # of the kernel or of the system

    def read_text(self, path: str) -> str | None:
        """Return a file's text, None if it cannot be read."""
        ...

    def list_folder(self, path: str) -> list[str]:
        """Return the sorted names in a folder, none if it cannot be read."""
        ...

    def find_tool(self, name: str) -> str | None:
        """Return the path of a program."""
        ...

    def run(self, command: Sequence[str], deadline: float) -> str:
        """Return a tool's standard output.

        Raises:
            ToolFailed: It is missing, failed, or took longer than `deadline` seconds.
        """
        ...

    def nvml(self) -> NvmlSnapshot:
        """Ask NVIDIA's management library; this takes no graphics memory.

        Raises:
            ToolFailed: There is no such library, or it refuses.
        """
        ...

    def affinity(self) -> frozenset[int] | None:
        """Return the processors this process may run on, None where the system has no such thing."""
        ...

    def memory(self) -> MemoryNumbers:
        """Return main memory as psutil sees it."""
        ...

    def core_counts(self) -> tuple[int, int]:
        """Return physical and logical cores as psutil sees them."""
        ...

    def processor_features(self) -> frozenset[int]:
        """Return what Windows' IsProcessorFeaturePresent confirms."""
        ...

    def registry(self, key: str) -> list[Mapping[str, str | int]]:
        """Return the values of a Windows registry key of the local machine and of its numbered children."""
        ...

    def disk(self, path: str) -> tuple[int, int] | None:
        """Return total and free bytes of the file system that holds a path, None if it does not exist."""
        ...
