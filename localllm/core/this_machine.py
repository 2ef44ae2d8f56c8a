"""This computer, as what judges models and measures needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.engine_build import read_engine_build
from localllm.core.estimate import Estimator
from localllm.core.hardware import probe, with_engine

if TYPE_CHECKING:
    from localllm.core.machine import Machine
    from localllm.paths import Paths


def find_this_machine(paths: Paths) -> Machine:
    """Return this computer as the engine would use it now."""
    machine = probe(paths.models, measurements=paths.measurements_file)
    if machine.gpus and (build := read_engine_build()):  # the engine's process takes most of a second
        machine = with_engine(machine, build)
    return Estimator.for_paths(paths).as_used(machine)
