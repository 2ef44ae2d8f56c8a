"""Engines whose graphics drivers fail in one way or another, on a computer that has none."""

from __future__ import annotations

import os
import signal
import sys

from localllm.engine.client import Engine
from localllm.errors import DriverFailed

CRASHES_IN_A_DRIVER = """
import os, sys
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
sys.stdin.read()
"""

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
    """Starts well, and cannot load a model with its driver."""

    crashes = False

    def loading(self, path, settings, progress):
        if not self.left_out and self.crashes:
            os.kill(self.pid, signal.SIGABRT)
        elif not self.left_out:
            raise DriverFailed("ErrorDeviceLost")
        yield from super().loading(path, settings, progress)
