import json
from dataclasses import replace

import pytest

from localllm.core.hardware import probe
from localllm.core.library import describe
from localllm.core.session import ModelSession
from localllm.engine.client import Engine
from localllm.engine.protocol import LoadSettings
from localllm.errors import BadModelFile, EngineError, NotEnoughMemory
from localllm.progress import Progress
from tests import gguf_files

SMALL = LoadSettings(context_length=512, threads=1, extra_buffers=False)


@pytest.fixture
def machine(tmp_path):
    return probe(tmp_path)


@pytest.fixture
def session(tmp_path, machine):
    session = ModelSession(lambda: machine, tmp_path / "data" / "limits.json")
    yield session
    session.close()


def test_what_was_left_open_is_chosen_for_this_computer(session, starter, machine):
    loaded = session.load(describe(starter), replace(SMALL, threads=0, context_length=100_000), Progress())
    assert loaded.threads == machine.cpu.usable_cores
    assert loaded.context_length == 8192, "no more than it was trained for"


def test_too_little_memory_is_said_and_can_be_overruled(tmp_path, machine, starter):
    poor = replace(machine, memory=replace(machine.memory, total=2**28, available=2**26))
    session = ModelSession(lambda: poor, tmp_path / "limits.json")
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

    def loading(self, path, settings, progress):
        if settings.extra_buffers:
            self.kill()
        yield from super().loading(path, settings, progress)


def test_a_crash_of_the_weight_layout_is_survived_and_remembered(session, starter, tmp_path, monkeypatch):
    monkeypatch.setattr("localllm.core.session.Engine", CrashesWithExtraBuffers)
    assert session.load(describe(starter), replace(SMALL, extra_buffers=True), Progress())
    limits = tmp_path / "data" / "limits.json"
    assert json.loads(limits.read_text()) == {"extra_buffers": False}
    chosen = session._choose(session._probe(), describe(starter), LoadSettings(), anyway=False)
    assert chosen.extra_buffers is False


def test_unload_gives_the_engine_up(session, starter):
    session.load(describe(starter), SMALL, Progress())
    session.unload()
    assert session.loaded is None
    with pytest.raises(EngineError, match="No model is loaded"):
        session.engine()
