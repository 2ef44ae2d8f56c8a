"""Builds with dynamic backends: the best part for this processor, and drivers that are missing or crash."""

import json
from dataclasses import replace

import pytest

from localllm.core.hardware.engine_match import find_remedy, with_engine
from localllm.core.machine import Cpu, EngineBuild, EngineDevice, Gpu, Machine, Memory
from localllm.core.smoke_test import smoke_test
from localllm.engine.backends import blamed_backend
from localllm.engine.child import backends
from localllm.engine.child.backends import Backends, load_backends
from localllm.engine.child.model import context_error, load_error
from localllm.engine.client import Engine
from localllm.engine.protocol import error_from_record, error_to_record
from localllm.errors import BrokenResult, DriverFailed, EngineDied
from localllm.progress import Progress
from tests.engine.stand_ins import (
    CRASHES_IN_A_DRIVER,
    REAL_ENGINE_BEHIND_A_BAD_DRIVER,
    FailsInADriver,
    start_with,
)


class PassesWhileADriverIsBusy:
    """A clock that takes long steps once the engine's child has reached its driver."""

    def __init__(self, engine):
        self.engine, self.now = engine, 0.0

    def monotonic(self):
        if "the driver says something" in self.engine._child._last_lines.copy():
            self.now += 1000
        return self.now


class Ggml:
    """ggml's registry, as far as loading asks it."""

    def __init__(self, registered=0, devices=None):
        self.registered, self.devices, self.loaded = registered, devices or {}, []

    def find(self, name, _result, *_arguments):
        return {
            "ggml_backend_reg_count": lambda: self.registered,
            "ggml_backend_load": self.load,
            "ggml_backend_reg_dev_count": lambda registry: self.devices[self.loaded[registry - 1]],
        }[name]

    def load(self, path):
        name = path.decode().rpartition("ggml-")[2].partition(".")[0]
        if self.devices.get(name) is None:
            return None
        self.loaded.append(name)
        return len(self.loaded)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    names = ("cpu-x64", "cpu-haswell", "cpu-zen4", "vulkan", "hip", "base")
    for name in names:
        (tmp_path / f"libggml-{name}.so").touch()
    for name in ("libllama.so", "libggml.so", "libggml-vulkan.so.0", "libggml-cpu-x64.so.0.25.3", "README"):
        (tmp_path / name).touch()
    scores = {"libggml-cpu-x64.so": 1, "libggml-cpu-haswell.so": 6, "libggml-cpu-zen4.so": 0}
    monkeypatch.setattr(backends, "_score", lambda path: scores[path.name])
    return tmp_path


CPUS = {"cpu-x64": 1, "cpu-haswell": 1, "cpu-zen4": 1}


def test_the_best_part_for_this_processor_is_loaded_and_drivers_that_answer(folder):
    ggml = Ggml(devices=CPUS | {"vulkan": 1, "hip": 0})
    assert load_backends(folder, ggml.find) == Backends(("vulkan", "cpu-haswell"), ("hip",))
    assert ggml.loaded == ["hip", "vulkan", "cpu-haswell"], "the processor comes last"


def test_without_a_driver_the_processor_is_used(folder):
    assert load_backends(folder, Ggml(devices=CPUS).find) == Backends(("cpu-haswell",), ("hip", "vulkan"))


def test_a_part_that_crashes_is_left_alone(folder):
    ggml = Ggml(devices=CPUS | {"vulkan": 1, "hip": 1})
    assert load_backends(folder, ggml.find, ["vulkan"]) == Backends(("hip", "cpu-haswell"), ("vulkan",))
    assert "vulkan" not in ggml.loaded


def test_a_build_without_such_parts_stays_as_it_is(folder):
    ggml = Ggml(registered=1)
    assert load_backends(folder, ggml.find) == Backends()
    assert not ggml.loaded


def test_a_library_that_cannot_be_loaded_has_no_score(tmp_path):
    (tmp_path / "libggml-cpu-x64.so").write_bytes(b"not a library")
    assert backends._score(tmp_path / "libggml-cpu-x64.so") == 0


def test_a_part_for_the_processor_that_does_not_load_gives_way_to_the_next(folder):
    assert load_backends(folder, Ggml(devices={"cpu-x64": 1, "cpu-zen4": 1}).find).parts == ("cpu-x64",)
    ggml = Ggml(devices={"cpu-zen4": 1, "cpu": 1})
    (folder / "libggml-cpu.so").touch()
    assert load_backends(folder, ggml.find).parts == ("cpu",), "what this processor cannot run is not tried"


def test_an_engine_that_crashes_in_drivers_starts_without_them(monkeypatch):
    start_with(monkeypatch, CRASHES_IN_A_DRIVER)
    engine = Engine()
    try:
        engine.wait_until_ready()
        engine.wait_until_ready()
        assert engine.left_out == ("vulkan", "hip")
        assert engine.alive
    finally:
        engine.stop()


def test_an_engine_that_crashes_all_the_same_is_given_up(monkeypatch):
    start_with(monkeypatch, CRASHES_IN_A_DRIVER.replace('("vulkan", "hip")', '("vulkan", sys.argv)'))
    monkeypatch.setattr("localllm.engine.client.blamed_backend", lambda lines: "vulkan" if lines else "")
    engine = Engine()
    with pytest.raises(EngineDied, match="could not start"):
        engine.wait_until_ready()
    assert engine.left_out == ("vulkan",)


def test_an_engine_that_hangs_in_drivers_starts_without_them(monkeypatch):
    start_with(monkeypatch, CRASHES_IN_A_DRIVER.replace("os.abort()", "sys.stdin.read()"))
    engine = Engine()
    monkeypatch.setattr("localllm.engine.client.time", PassesWhileADriverIsBusy(engine))
    try:
        engine.wait_until_ready()
        assert engine.left_out == ("vulkan", "hip")
        assert engine.alive
    finally:
        engine.stop()


def test_an_engine_that_hangs_elsewhere_is_ended(monkeypatch):
    start_with(
        monkeypatch, "import sys; print('the driver says something', file=sys.stderr); sys.stdin.read()"
    )
    engine = Engine()
    monkeypatch.setattr("localllm.engine.client.time", PassesWhileADriverIsBusy(engine))
    with pytest.raises(EngineDied, match="did not start within"):
        engine.wait_until_ready()
    assert not engine.alive
    assert not engine.left_out


def test_a_result_is_tried_on_a_computer_whose_driver_crashes(monkeypatch, starter):
    start_with(monkeypatch, REAL_ENGINE_BEHIND_A_BAD_DRIVER)
    assert smoke_test(starter, Progress()).answer


def test_a_result_is_tried_on_a_computer_whose_driver_gives_up(monkeypatch, starter):
    monkeypatch.setattr("localllm.core.smoke_test.Engine", FailsInADriver)
    build = EngineBuild("1", "", (), ("vulkan",))
    monkeypatch.setattr("localllm.core.ways_around.read_engine_build", lambda: build)
    assert smoke_test(starter, Progress()).answer
    monkeypatch.setattr("localllm.core.ways_around.read_engine_build", lambda: None)
    with pytest.raises(BrokenResult):
        smoke_test(starter, Progress())


def test_only_what_was_being_loaded_is_blamed():
    assert blamed_backend(["loading backend hip", "loading backend vulkan", "x"]) == "vulkan"
    assert not blamed_backend(["loading backend vulkan", "backends loaded", "GGML_ASSERT"])
    assert not blamed_backend([])


def test_the_ordinary_build_says_that_it_has_no_parts(engine):
    answer = engine.devices()
    assert (answer["parts"], answer["unused"]) == ([], [])
    assert answer["devices"]


def test_a_card_whose_driver_is_missing_says_what_to_do():
    build = EngineBuild("1", "", (EngineDevice("CPU", "", "cpu"),), ("cpu-haswell",), ("vulkan",))
    for vendor, words in (
        ("AMD", "update its driver"),
        ("Intel", "update its driver"),
        ("NVIDIA", "start again"),
    ):
        assert words in str(find_remedy(Gpu("Card", vendor, "discrete"), build))
    crashing = replace(build, failing=("vulkan",))
    assert "left out" in str(find_remedy(Gpu("Card", "NVIDIA", "discrete"), crashing))
    machine = Machine("", Cpu("", "x86_64", 1, 1, 1), Memory(1, 1), (Gpu("Card", "AMD", "discrete"),))
    assert with_engine(machine, build).gpus[0].usable is False
    assert Machine.from_json(json.dumps(with_engine(machine, build).to_json())).engine == build


def test_a_driver_that_gives_up_is_not_taken_for_a_bad_file(tmp_path):
    said = "llama_model_load: error loading model: vk::PhysicalDevice::createDevice: ErrorDeviceLost"
    for error in (load_error(tmp_path / "m.gguf", [said]), context_error([said])):
        assert isinstance(error_from_record(error_to_record(error)), DriverFailed)
        assert "vk::PhysicalDevice::createDevice: ErrorDeviceLost" in str(error)
    full = "vk::Device::allocateMemory: ErrorOutOfDeviceMemory"
    assert "not enough memory" in str(load_error(tmp_path / "m.gguf", [full]))
