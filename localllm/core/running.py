"""Tells whether another program of this computer still runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path


def name_of_this_program() -> str:
    """Return a name that no other program ever has: numbers of processes are used again."""
    return _name(psutil.Process())


def is_alive(program: str) -> bool:
    """Whether the program of this name still runs; one that has ended and was not waited for does not."""
    try:
        process = psutil.Process(int(program.split(maxsplit=1)[0]))
        return process.status() != psutil.STATUS_ZOMBIE and _name(process) == program
    except (psutil.Error, ValueError, IndexError, OverflowError):
        return False


def runs(pid: int) -> bool:
    """Whether a process of this number runs, whatever it is."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.Error:
        return True


def holder_of(lock: Path) -> int | None:
    """Return the number of the process that a lock file of Qt names; None if it names none.

    Raises:
        OSError: There is no such file; or, on Windows, it is held.
    """
    first = lock.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    return int(first) if first.isdecimal() else None


def _name(process: psutil.Process) -> str:
    began = process.create_time()
    if (
        sys.platform == "linux"
    ):  # there it moves with the clock, as the moment of the start of the system does
        began -= psutil.boot_time()
    return f"{process.pid} {began:.2f}"
