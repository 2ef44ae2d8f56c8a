"""This computer, for commands that judge models; what finds it is imported when one asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localllm.cli.output import Context
    from localllm.core.machine import Machine


def this_machine(context: Context) -> Machine:
    """Return this computer as the engine would use it now."""
    from localllm.core.this_machine import find_this_machine

    return find_this_machine(context.paths)
