"""`localllm bench --list-devices`: the GPUs by the names that -dev takes, in llama-bench's form."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from localllm.texts import text

if TYPE_CHECKING:
    from localllm.cli.output import Output

_MIB = 2**20


def list_devices(output: Output, *, as_json: bool) -> int:
    """Print them."""
    from localllm.core.engine_build import read_engine_build

    build = read_engine_build()
    devices = [one for one in build.devices if one.kind != "cpu"] if build else []
    if as_json:
        output.json([dataclasses.asdict(one) for one in devices])
        return 0
    output.say(text("Available devices:"))
    for one in devices:
        total, free = (amount // _MIB for amount in (one.memory_total, one.memory_free))
        output.say(f"  {one.name}: {one.description} ({total} MiB, {free} MiB free)")
    if not devices:
        output.say(text("  (none)"))
    return 0
