"""What is tried after which fault of the engine, and what is learned."""

from dataclasses import replace

import pytest

from localllm.core import ways_around
from localllm.core.engine_limits import remember_crash, weight_layout_works
from localllm.core.machine import EngineBuild
from localllm.core.ways_around import WaysAround
from localllm.engine.protocol import LoadSettings
from localllm.errors import BadModelFile, DriverFailed, EngineDied, EngineError
from tests.core import machines

WISHED = LoadSettings(gpu_layers=99)
PLAIN, ON_PROCESSOR = replace(WISHED, extra_buffers=False), replace(WISHED, extra_buffers=False, gpu_layers=0)
WITH_DRIVER = EngineBuild("1", "", (), ("vulkan", "cpu-haswell"))
MACHINE = replace(machines.REFERENCE, engine=WITH_DRIVER)
CRASH, GAVE_UP = EngineDied("It crashed."), DriverFailed("ErrorDeviceLost")
CRASH.crashed = True


@pytest.fixture
def file(tmp_path):
    return tmp_path / "limits.json"


def tried(ways, failure):
    """Return how else it is tried while nothing helps."""
    found = []
    while ways.go_on(failure):
        found.append((ways.settings, ways.without))
    return found


def test_after_a_crash_the_layout_goes_first_then_drivers(file):
    found = tried(WaysAround(WISHED, MACHINE, file), CRASH)
    assert found == [(PLAIN, ()), (ON_PROCESSOR, ("vulkan",))]


def test_a_driver_that_gave_up_says_nothing_of_the_layout(file):
    assert tried(WaysAround(WISHED, MACHINE, file), GAVE_UP) == [(ON_PROCESSOR, ("vulkan",))]


def test_a_card_that_is_needed_stays(file):
    assert tried(WaysAround(WISHED, MACHINE, file, keep_card=True), CRASH) == [(PLAIN, ())]
    assert not tried(WaysAround(WISHED, MACHINE, file, keep_card=True), GAVE_UP)


def test_a_layout_that_is_measured_stays():
    found = tried(WaysAround(WISHED, MACHINE), CRASH)
    assert found == [(replace(WISHED, gpu_layers=0), ("vulkan",))]


def test_what_the_engine_refuses_or_somebody_ended_is_not_tried_otherwise(file):
    for failure in (EngineError("No."), EngineDied("Killed."), BadModelFile("Bad.")):
        assert not tried(WaysAround(WISHED, MACHINE, file), failure)


def test_a_layout_is_blamed_only_where_it_goes_well_without_it(file):
    ways = WaysAround(WISHED, MACHINE, file)
    ways.succeeded()
    assert weight_layout_works(file, MACHINE), "there was no crash"
    assert ways.go_on(CRASH)
    assert ways.without_layout
    assert ways.go_on(CRASH)
    ways.succeeded()
    assert weight_layout_works(file, MACHINE), "without it there was a crash too"
    ways = WaysAround(WISHED, MACHINE, file)
    assert ways.go_on(CRASH)
    ways.succeeded()
    assert not weight_layout_works(file, MACHINE)


def test_a_layout_that_is_known_to_crash_is_not_tried(file):
    remember_crash(file, MACHINE)
    ways = WaysAround(WISHED, MACHINE, file)
    assert ways.settings == PLAIN
    assert tried(ways, CRASH) == [(ON_PROCESSOR, ("vulkan",))]


def test_the_engine_is_asked_for_its_drivers_only_after_a_fault(monkeypatch):
    monkeypatch.setattr(ways_around, "read_engine_build", lambda: WITH_DRIVER)
    assert tried(WaysAround(PLAIN), CRASH) == [(ON_PROCESSOR, ("vulkan",))]
    monkeypatch.setattr(ways_around, "read_engine_build", lambda: None)
    assert not tried(WaysAround(PLAIN), CRASH)
