"""What the installed engine cannot do on this computer: learned from a crash, kept in one JSON file.

llama.cpp's own weight layout for AMX crashes on some machines
(https://github.com/ggml-org/llama.cpp/issues/20824). What was learned holds for one engine version and
one processor.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.engine.version import engine_version
from localllm.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.machine import Machine

_log = logging.getLogger(__name__)


def weight_layout_works(file: Path, machine: Machine) -> bool:
    """Tell whether the engine's weight layout for this processor has not crashed here."""
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        same = all(entry.get(name, value) == value for name, value in _engine_and_processor(machine).items())
        return not same or bool(entry.get("extra_buffers", True))
    except (OSError, ValueError, AttributeError):
        return True


def remember_crash(file: Path, machine: Machine) -> None:
    """Keep that the weight layout crashed; a folder that cannot be written costs the memory of it only."""
    entry = {"extra_buffers": False, **_engine_and_processor(machine)}
    try:
        write_atomically(file, json.dumps(entry).encode())
    except OSError as error:
        _log.warning("What this engine cannot do here could not be kept: %s", error)


def without_weight_layout(machine: Machine) -> Machine:
    """Describe a computer as an engine without that layout uses it: AMX stores no second copies."""
    features = tuple(name for name in machine.cpu.features if not name.startswith("amx"))
    return replace(machine, cpu=replace(machine.cpu, features=features))


def as_used(file: Path, machine: Machine) -> Machine:
    """Describe this computer as the engine uses it."""
    return machine if weight_layout_works(file, machine) else without_weight_layout(machine)


def _engine_and_processor(machine: Machine) -> dict[str, str]:
    return {"engine": engine_version(), "cpu": machine.cpu.name}
