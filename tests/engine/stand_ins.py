"""Engines whose graphics drivers fail in one way or another, on a computer that has none."""

from __future__ import annotations

import os
import signal
import sys

from localllm.engine.client import Engine
from localllm.errors import DriverFailed

CRASHES_IN_A_DRIVER = """
import json, os, sys
from localllm.engine.backends import announce, announce_end
from localllm.processes import ParentLink
left_out = [name for name in ("vulkan", "hip") if name not in sys.argv]
if left_out:
    announce(left_out[0])
    print("the driver says something", file=sys.stderr, flush=True)
    os.abort()
announce_end()
link = ParentLink()
link.send({"event": "ready"})
card = {"name": "Vulkan0", "description": "Card", "kind": "gpu"}
answer = {"event": "devices", "version": "1", "commit": "", "system_info": "", "parts": [], "unused": [],
          "devices": [card][len(sys.argv) - 1:]}
for line in sys.stdin:
    link.send({"id": json.loads(line)["id"], **answer})
"""
WORKS = CRASHES_IN_A_DRIVER.replace('("vulkan", "hip")', "()")

REAL_ENGINE_BEHIND_A_BAD_DRIVER = """
import os, runpy, sys
from localllm.engine.backends import announce
if "vulkan" not in sys.argv:
    announce("vulkan")
    os.abort()
runpy.run_module("localllm.engine.child", run_name="__main__", alter_sys=True)
"""


def start_with(monkeypatch, program):
    """Let engines be this program instead."""
    monkeypatch.setattr(
        "localllm.engine.client.python_arguments",
        lambda _module, *flags: [sys.executable, "-c", program, *flags],
    )


class FailsInADriver(Engine):
    """Starts well, sees a card, and cannot load a model with its driver."""

    crashes = False

    def devices(self):
        answer = super().devices()
        card = {"name": "Vulkan0", "description": "Card", "kind": "gpu", "memory_free": 1 << 30}
        return answer if self.left_out else {**answer, "devices": [*answer["devices"], card]}

    def bench(self, path, settings, tests, progress=None):
        if not self.left_out:
            raise DriverFailed("ErrorDeviceLost")
        yield from super().bench(path, settings, tests, progress)

    def loading(self, path, settings, progress):
        if not self.left_out and self.crashes:
            os.kill(self.pid, signal.SIGABRT)
        elif not self.left_out:
            raise DriverFailed("ErrorDeviceLost")
        yield from super().loading(path, settings, progress)
