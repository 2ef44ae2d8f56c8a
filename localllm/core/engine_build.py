"""What the installed engine can compute on, asked of a short-lived inspector child."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.machine import EngineBuild, EngineDevice
from localllm.engine.client import Engine
from localllm.engine.drivers import FailedDrivers
from localllm.errors import EngineError
from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.paths import Paths


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
    return EngineBuild(
        answer["version"],
        answer["system_info"],
        tuple(EngineDevice(**device) for device in answer["devices"]),
        tuple(answer["parts"]),
        tuple(answer["unused"]),
        answer["commit"],
        engine.left_out,
    )


def left_out_drivers(paths: Paths) -> tuple[str, ...]:
    """Return the graphics drivers that engines start without, because they crashed or hung: "vulkan"."""
    return FailedDrivers(paths.failed_drivers_file).left_out


def try_drivers_again(paths: Paths) -> EngineBuild | None:
    """Start an engine with every driver; one that fails is left out again. Returns as `read_engine_build`."""
    failed = FailedDrivers(paths.failed_drivers_file)
    before = failed.left_out
    failed.leave_out(())
    build = read_engine_build()
    failed.leave_out(build.failing if build else before)
    return build


def describe_driver_trial(build: EngineBuild | None) -> Text:
    """Say what came of `try_drivers_again`."""
    if build is None:
        return text("The engine does not start, also without a graphics driver.")
    if build.failing:
        return text(
            "The engine crashed or hung with the graphics driver again: it stays left out until it changes."
        )
    cards = ", ".join(device.description for device in build.devices if device.kind in ("gpu", "igpu"))
    if not cards:
        return text("The graphics driver does no harm now, but the engine sees no card with it.")
    return text("The graphics driver works: models that are loaded from now on can use {cards}.", cards=cards)
