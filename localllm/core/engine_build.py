"""What the installed engine can compute on, asked of a short-lived inspector child."""

from __future__ import annotations

from localllm.core.machine import EngineBuild, EngineDevice
from localllm.engine.client import Engine
from localllm.errors import EngineError


def read_engine_build() -> EngineBuild | None:
    """Ask ggml for its own device list; None if the engine does not start."""
    engine = Engine()
    try:
        engine.wait_until_ready()
        answer = engine.devices()
    except EngineError:
        return None
    finally:
        engine.stop()
    devices = tuple(EngineDevice(**device) for device in answer["devices"])
    parts, unused = tuple(answer["parts"]), tuple(answer["unused"])
    return EngineBuild(answer["version"], answer["system_info"], devices, parts, unused, answer["commit"])
