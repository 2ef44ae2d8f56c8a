"""Notices at a start that the window's process ended unexpectedly the last time.

A small file stands in the logs' folder as long as the window is open. Whoever finds one whose process is gone
knows: it was killed, it crashed, or the power went.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import psutil

import localllm
from localllm.core.diagnostics.logs import last_lines
from localllm.core.diagnostics.privacy import scrub
from localllm.core.running import is_alive, name_of_this_program
from localllm.engine.version import engine_version
from localllm.files import write_atomically
from localllm.texts import Text, text

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)
_LINES = 60  # of the log in the report


@dataclass(frozen=True)
class UnexpectedEnd:
    """How the run before ended; `when` in seconds since 1970, to the minute."""

    when: float
    cause: Text
    report: str


class RunMarker:
    """The file that stands while the window of these logs is open."""

    def __init__(self, logs: Path, program: str = "window") -> None:
        self._file = logs / f"{program}.running"
        self._log = logs / f"{program}.log"
        self._crash = logs / f"{program}.crash"

    def begin(self) -> UnexpectedEnd | None:
        """Say that this process runs; return how the one before ended, if it did not close its window."""
        found = self._read()
        end = self._describe(found) if found and not is_alive(str(found.get("process"))) else None
        self._write()
        return end

    def touch(self) -> None:
        """Note that it still runs; called every minute."""
        try:
            os.utime(self._file)
        except OSError:
            self._write()

    def end(self) -> None:
        """Say that the window was closed."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            found: object = json.loads(self._file.read_text(encoding="utf-8"))
        except OSError:
            return {}
        except ValueError:
            return {"process": ""}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {"process": ""}

    def _write(self) -> None:
        entry = {
            "process": name_of_this_program(),
            "started": time.time(),
            "crash_bytes": _size(self._crash),
            "version": localllm.__version__,
        }
        try:
            write_atomically(self._file, json.dumps(entry).encode())
        except OSError as error:  # it costs the notice after a crash
            _log.warning("That the window is open could not be noted: %s", error)

    def _describe(self, found: dict[str, Any]) -> UnexpectedEnd:
        when = max(_moment(self._file), _moment(self._crash) if _size(self._crash) else 0.0)
        offset = found.get("crash_bytes")
        crash = last_lines(self._crash, since=offset if isinstance(offset, int) else 0)
        cause = _cause(crash, when)
        versions = (
            f"LocalLLM {found.get('version', '?')}, now {localllm.__version__}; engine {engine_version()}; "
            f"Python {platform.python_version()}; {platform.platform()}"
        )
        began = found.get("started")
        lines = [
            versions,
            f"Started {_written(began)}, last seen {_written(when)}",
            f"Cause: {cause}",
            "",
            *(crash or ["No trace of a crash was left."]),
            "",
            f"The last lines of {self._log.name}:",
            *last_lines(self._log, _LINES),
        ]
        return UnexpectedEnd(when, cause, scrub("\n".join(lines)))


def _cause(crash: list[str], when: float) -> Text:
    for line in crash:
        if line.startswith(("Fatal Python error", "Windows fatal exception")):
            return text("it crashed ({what})", what=line.partition(": ")[2].strip() or line)
    if psutil.boot_time() > when:
        return text("the computer went off or was started anew")
    return text("it was killed from outside, or the memory of the computer ran out")


def _written(moment: object) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) if isinstance(moment, int | float) else "?"


def _moment(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
