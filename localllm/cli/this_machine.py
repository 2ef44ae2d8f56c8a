"""This computer, as commands that judge models need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localllm.cli.output import Context
    from localllm.core.machine import Machine


def this_machine(context: Context) -> Machine:
    """Return this computer as the engine would use it now."""
    from localllm.core.engine_build import read_engine_build
    from localllm.core.estimate import Estimator
    from localllm.core.hardware import probe, with_engine

    paths = context.paths
    machine = probe(paths.models, measurements=paths.measurements_file)
    if machine.gpus and (build := read_engine_build()):  # the engine's process takes most of a second
        machine = with_engine(machine, build)
    return Estimator.for_paths(paths).as_used(machine)
