"""The logs: which there are, and their last lines."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.diagnostics.privacy import scrub

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 256 << 10  # of a log's end that are read
_ENTRY = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) ")
_TROUBLE = ("WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class LogFile:
    """A log; `size` in bytes."""

    path: Path
    size: int

    @property
    def name(self) -> str:
        """What it is called in its folder."""
        return self.path.name


def list_logs(folder: Path) -> tuple[LogFile, ...]:
    """Return the logs that have something in them, the one written last first."""
    found: list[tuple[float, LogFile]] = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return ()
    for entry in entries:
        if ".log" in entry.name or entry.name.endswith(".crash"):
            with contextlib.suppress(OSError):  # full ones get another name while we look
                stat = entry.stat()
                if stat.st_size:
                    found.append((stat.st_mtime, LogFile(folder / entry.name, stat.st_size)))
    return tuple(log for _, log in sorted(found, key=lambda item: item[0], reverse=True))


def last_lines(path: Path, most: int = 400, *, containing: str = "", since: int = 0) -> list[str]:
    """Return the end of a log without anything private.

    Args:
        path: Of the log.
        most: Lines.
        containing: Only lines with these words in them.
        since: Bytes at its beginning that are left out.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(since, size - _MOST_BYTES)
            file.seek(begin)
            words = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = words.splitlines()[1 if begin > since else 0 :]
    wanted = containing.lower()
    kept = [line for line in lines if wanted in line.lower()]
    return scrub("\n".join(kept[-most:])).split("\n") if kept else []


def recent_trouble(folder: Path, most: int = 20) -> list[str]:
    """Return the last warnings and errors of all programs' logs, each with the name of its log."""
    found: list[str] = []
    for log in list_logs(folder):
        if log.path.suffix == ".log":
            program = log.path.stem
            for line in last_lines(log.path, 2000):
                entry = _ENTRY.match(line)
                if entry and entry["level"] in _TROUBLE:
                    found.append(f"{line[:23]} {program}: {line[24:]}")
    return sorted(found)[-most:]
