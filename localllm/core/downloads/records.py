"""What a download is, as far as others see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.core.hub.records import RemoteFile
    from localllm.texts import Text

State = Literal["queued", "running", "paused", "done", "failed"]
Wish = Literal["run", "pause", "cancel"]


@dataclass(frozen=True)
class Provenance:
    """Where a file came from; its content was checked.

    Attributes:
        commit: 40 hexadecimal digits.
        file: Its path in the repository.
        sha256: Of the content.
        size: Bytes.
    """

    repo: str
    commit: str
    file: str
    sha256: str
    size: int


class RefusedError(Exception):
    """What arrived is no model that may be opened; `files` are all of that model."""

    def __init__(self, reason: Text, files: Sequence[Path]) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.files = tuple(files)


@dataclass(frozen=True)
class Request:
    """What to download: one file, or the parts and companions that belong together.

    Attributes:
        repo: "owner/name".
        commit: 40 hexadecimal digits; every file is asked for at this commit.
        folder: Where the files go; their paths in the repository are kept below it.
        replace: Whether another file of the same name gives way.
    """

    title: str
    repo: str
    commit: str
    files: tuple[RemoteFile, ...]
    folder: Path
    replace: bool = False

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Download:
    """One entry of the queue as it is at a moment.

    Attributes:
        key: Names its folder of unfinished files.
        state: "queued" goes on by itself, "paused" and "failed" when somebody says so.
        wish: What somebody last asked for; the program that works on it obeys within a second.
        position: Its place in the queue; the lowest is next.
        done: Bytes that are there.
        speed: Bytes per second lately.
        note: What it waits for, or why it stopped.
    """

    id: int
    key: str
    request: Request
    state: State
    wish: Wish
    position: float
    done: int = 0
    speed: float = 0.0
    note: Text | None = None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until it is there at this speed; None if it does not move."""
        return (self.request.size - self.done) / self.speed if self.speed > 0 else None


@dataclass(frozen=True)
class Removable:
    """Something that could be deleted to make room; `size` in bytes."""

    name: str
    size: int
