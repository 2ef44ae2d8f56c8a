"""Tells whether the program that was writing an answer still runs."""

from __future__ import annotations

import sys

import psutil


def name_of_this_program() -> str:
    """Return a name that no other program ever has: numbers of processes are used again."""
    return _name(psutil.Process())


def is_alive(writer: str) -> bool:
    """Whether the program of this name still runs."""
    try:
        return _name(psutil.Process(int(writer.split(maxsplit=1)[0]))) == writer
    except (psutil.Error, ValueError, IndexError, OverflowError):
        return False


def _name(process: psutil.Process) -> str:
    began = process.create_time()
    if (
        sys.platform == "linux"
    ):  # there it moves with the clock, as the moment of the start of the system does
        began -= psutil.boot_time()
    return f"{process.pid} {began:.2f}"
