import json
import os
import signal
from dataclasses import replace

import pytest

from localllm.core.hardware import probe
from localllm.core.library import describe
from localllm.core.machine import EngineBuild, EngineDevice, Gpu
from localllm.core.session import ModelSession
from localllm.core.ways_around import WaysAround
from localllm.engine.client import Engine
from localllm.engine.protocol import LoadSettings, Stats
from localllm.errors import BadModelFile, DriverFailed, EngineDied, EngineError, NotEnoughMemory
from localllm.progress import Progress
from tests import gguf_files
from tests.core.estimators import estimator_in
from tests.engine.stand_ins import FailsInADriver

SMALL = LoadSettings(context_length=512, threads=1, extra_buffers=False)
WITH_LAYOUT = replace(SMALL, extra_buffers=True)


@pytest.fixture
def machine(tmp_path):
    return probe(tmp_path)


@pytest.fixture
def session(tmp_path, machine):
    session = ModelSession(lambda: machine, estimator_in(tmp_path))
    yield session
    session.close()


def test_what_was_left_open_is_chosen_for_this_computer(session, starter, machine):
    loaded = session.load(describe(starter), replace(SMALL, threads=0, context_length=100_000), Progress())
    assert loaded.threads == machine.cpu.usable_cores
    assert loaded.context_length == 8192, "no more than it was trained for"


def test_too_little_memory_is_said_and_can_be_overruled(tmp_path, machine, starter):
    poor = replace(machine, memory=replace(machine.memory, total=2**28, available=2**26))
    session = ModelSession(lambda: poor, estimator_in(tmp_path))
    with pytest.raises(NotEnoughMemory) as caught:
        session.load(describe(starter), SMALL, Progress())
    assert caught.value.need > caught.value.have
    assert "load it anyway" in str(caught.value.hint)
    assert session.load(describe(starter), SMALL, Progress(), anyway=True)
    session.close()


def test_the_estimate_is_close_to_what_llama_cpp_takes(session, starter):
    answer = session.estimate(describe(starter), replace(SMALL, context_length=4096))
    # dry run of the same settings: 92.10 MiB weights, 90 MiB KV cache for 4096 tokens
    assert answer.memory.kv == 90 * 2**20
    assert abs(answer.memory.weights / 2**20 - 92.1) < 0.1
    assert answer.verdict == "fits"
    assert answer.memory.certainty == "exact"


def test_after_a_load_the_prediction_stands_beside_what_was_used(session, starter):
    session.load(describe(starter), SMALL, Progress())
    first = session.comparison
    assert first.used > 0
    assert abs(first.residual) < 0.35, "the engine's own overhead is a constant before the first load"
    session.load(describe(starter), replace(SMALL, context_length=4096), Progress())
    assert abs(session.comparison.residual) < 0.02, "what was measured at the first load corrects the second"
    assert session.estimate(describe(starter), SMALL).last_load.used == session.comparison.used
    session.unload()
    assert session.comparison is None


def test_an_unknown_architecture_has_no_estimate_and_says_why_it_does_not_load(session, tmp_path):
    model = describe(gguf_files.unknown_architecture(tmp_path / "m.gguf"))
    assert session.estimate(model, SMALL) is None
    with pytest.raises(EngineError, match="nonesuch"):
        session.load(model, SMALL, Progress())


def test_a_bad_file_leaves_the_loaded_model_alone(session, starter, tmp_path):
    session.load(describe(starter), SMALL, Progress())
    bad = describe(gguf_files.write(tmp_path / "bad.gguf", b"GGUF" + b"\0" * 100))
    assert bad.problem
    with pytest.raises(BadModelFile):
        session.load(bad, SMALL, Progress())
    assert session.loaded is not None


class CrashesWithExtraBuffers(Engine):
    """An engine on a machine whose AMX crashes (https://github.com/ggml-org/llama.cpp/issues/20824)."""

    end = signal.SIGSEGV

    def loading(self, path, settings, progress):
        if settings.extra_buffers:
            os.kill(self.pid, self.end)
        yield from super().loading(path, settings, progress)


def test_a_crash_of_the_weight_layout_is_survived_and_remembered(
    session, machine, starter, tmp_path, monkeypatch
):
    limits = tmp_path / "limits.json"

    def used():
        return WaysAround(WITH_LAYOUT, machine, limits).settings.extra_buffers

    monkeypatch.setattr("localllm.core.session.Engine", CrashesWithExtraBuffers)
    assert session.load(describe(starter), WITH_LAYOUT, Progress())
    assert "weight layout" in str(session.loaded.notices[0])
    kept = json.loads(limits.read_text())
    assert kept["extra_buffers"] is False
    assert not used()
    limits.write_text(json.dumps({**kept, "engine": "another"}))
    assert used()


def test_an_engine_that_was_killed_is_no_reason_to_do_without_the_weight_layout(
    session, starter, tmp_path, monkeypatch
):
    monkeypatch.setattr("localllm.core.session.Engine", CrashesWithExtraBuffers)
    monkeypatch.setattr(CrashesWithExtraBuffers, "end", signal.SIGKILL)
    with pytest.raises(EngineDied):
        session.load(describe(starter), WITH_LAYOUT, Progress())
    assert not (tmp_path / "limits.json").exists()


@pytest.mark.parametrize("crashes", [True, False])
def test_a_driver_that_fails_as_a_model_is_loaded_is_done_without(
    session, starter, tmp_path, monkeypatch, crashes
):
    devices = (EngineDevice("Vulkan0", "Card", "gpu"),)
    build = EngineBuild("1", "", devices, ("vulkan", "cpu-haswell"))
    monkeypatch.setattr("localllm.core.ways_around.read_engine_build", lambda: build)
    monkeypatch.setattr("localllm.core.session.Engine", FailsInADriver)
    monkeypatch.setattr(FailsInADriver, "crashes", crashes)
    loaded = session.load(describe(starter), replace(SMALL, gpu_layers=99), Progress())
    assert "graphics driver" in str(loaded.notices[0])
    assert not loaded.gpu_layers
    assert not (tmp_path / "limits.json").exists(), "the weight layout is not to blame"


def test_without_a_driver_that_could_be_to_blame_its_failure_is_told(session, starter, monkeypatch):
    monkeypatch.setattr("localllm.core.session.Engine", FailsInADriver)
    with pytest.raises(DriverFailed):
        session.load(describe(starter), SMALL, Progress())


GPU = Gpu("RTX 4090", "NVIDIA", "discrete", memory_total=24 << 30, memory_free=23 << 30)


@pytest.mark.parametrize(("device", "kind"), [("CUDA0", "gpu"), ("CPU", "cpu")])
def test_places_are_chosen_by_what_the_engine_build_can_use(
    tmp_path, machine, starter, monkeypatch, device, kind
):
    devices = (EngineDevice(device, "RTX 4090" if kind == "gpu" else "CPU", kind),)
    monkeypatch.setattr("localllm.core.session.read_engine_build", lambda: EngineBuild("1", "", devices))
    session = ModelSession(lambda: replace(machine, gpus=(GPU,)), estimator_in(tmp_path))
    assert session.estimate(describe(starter), SMALL).placement.kind == kind
    session.close()


def test_a_model_that_never_fits_leaves_the_loaded_one_alone(tmp_path, machine, starter):
    now = [machine]
    session = ModelSession(lambda: now[0], estimator_in(tmp_path))
    session.load(describe(starter), SMALL, Progress())
    now[0] = replace(machine, memory=replace(machine.memory, total=2**28, available=2**26))
    with pytest.raises(NotEnoughMemory):
        session.load(describe(starter), SMALL, Progress())
    assert session.loaded is not None
    session.close()


def test_a_full_gpu_is_named_as_what_is_short(tmp_path, machine, starter, monkeypatch):
    devices = (EngineDevice("CUDA0", "RTX 4090", "gpu"),)
    monkeypatch.setattr("localllm.core.session.read_engine_build", lambda: EngineBuild("1", "", devices))
    full = replace(machine, gpus=(replace(GPU, memory_free=0),))
    session = ModelSession(lambda: full, estimator_in(tmp_path))
    with pytest.raises(NotEnoughMemory, match="GPU's memory") as caught:
        session.load(describe(starter), replace(SMALL, gpu_layers=99), Progress())
    assert caught.value.need > caught.value.have == 0
    session.close()


def test_unload_gives_the_engine_up(session, starter):
    session.load(describe(starter), SMALL, Progress())
    session.unload()
    assert session.loaded is None
    with pytest.raises(EngineError, match="No model is loaded"):
        session.engine()


def test_an_answer_teaches_the_speed_of_this_computer(session, starter):
    session.load(describe(starter), SMALL, Progress())
    assert session.estimate(describe(starter), SMALL).speed.basis == "table"
    for _ in range(3):
        session.note_answer(
            Stats(
                prompt_tokens=100, prompt_ms=500, completion_tokens=101, completion_ms=2000, context_used=201
            )
        )
    after = session.estimate(describe(starter), SMALL).speed
    assert after.basis == "measured"
    assert after.tokens_per_second == pytest.approx(50, rel=0.1)
    other = session.estimate(describe(starter), replace(SMALL, threads=64)).speed
    assert other.basis == "table", "nothing was measured with so many threads"


def test_a_model_that_needs_other_programs_closed_leaves_the_loaded_one_alone(tmp_path, machine, starter):
    now = [machine]
    session = ModelSession(lambda: now[0], estimator_in(tmp_path))
    session.load(describe(starter), SMALL, Progress())
    now[0] = replace(machine, memory=replace(machine.memory, available=2**25))
    with pytest.raises(NotEnoughMemory):
        session.load(describe(starter), replace(SMALL, context_length=8192), Progress())
    assert session.loaded is not None
    session.close()


def test_a_model_that_nobody_asks_gives_its_memory_back_and_comes_again(session, starter):
    session.load(describe(starter), SMALL, Progress())
    assert not session.doze(3600), "it was used just now"
    engine = session.engine()
    assert session.doze(0)
    assert session.loaded is None
    assert not engine.alive
    assert not session.doze(0)
    assert list(session.revive(Progress()))[-1] == 1
    assert session.require().name == describe(starter).name
