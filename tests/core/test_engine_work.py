import os
import signal
import sys

import pytest

from localllm.core.engine_limits import weight_layout_works
from localllm.core.engine_work import Load
from localllm.core.fit import FitSettings
from localllm.core.machine import EngineBuild
from localllm.core.model_hash import hash_model
from localllm.core.time_left import TimedProgress, TimeLeft, duration
from localllm.engine.protocol import LoadSettings
from localllm.errors import Cancelled, DriverFailed, EngineDied, ModelNotFound, NotEnoughMemory
from localllm.progress import Progress
from localllm.texts import text
from tests.core.engine_works import PLAIN, plain_work

FIT = FitSettings(128, batch=128)


def test_settings_are_chosen_where_nobody_did(starter):
    load = plain_work(LoadSettings()).plan(starter, FitSettings(128, batch=128, kv_type_k="q8_0"))
    settings = load.settings
    assert (settings.threads, settings.gpu_layers, settings.context_length) == (2, 0, 128)
    assert (settings.kv_type_k, settings.kv_type_v) == ("q8_0", "f16")
    assert load.speed > 1
    assert not load.measured
    assert plain_work().plan(starter, FIT).settings.threads == PLAIN.threads


def test_what_does_not_fit_is_refused(starter, monkeypatch):
    work = plain_work()
    huge = FitSettings(2**24)
    with pytest.raises(NotEnoughMemory, match="needs about"):
        work.plan(starter, huge)
    assert work.plan(starter, huge, anyway=True).settings.context_length == 2**24


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_crash_of_the_weight_layout_is_tried_without_it_and_remembered(starter):
    work = plain_work(LoadSettings(threads=1, gpu_layers=0))
    seen = []

    def crash_with_it(engine, settings):
        seen.append(settings.extra_buffers)
        if settings.extra_buffers:
            os.kill(engine.pid, signal.SIGSEGV)
        return engine.devices()["version"]

    assert work.run(work.plan(starter, FIT), crash_with_it, Progress())
    assert seen == [True, False]
    assert not weight_layout_works(work.paths.engine_limits_file, work.machine)
    seen.clear()
    work.run(work.plan(starter, FIT), crash_with_it, Progress())
    assert seen == [False]


def test_a_driver_that_gives_up_is_done_without_and_the_layout_is_not_blamed(starter, monkeypatch):
    build = EngineBuild("1", "", (), ("vulkan", "cpu-haswell"))
    monkeypatch.setattr("localllm.core.ways_around.read_engine_build", lambda: build)
    work = plain_work(LoadSettings(threads=1, gpu_layers=99))

    def fail_in_the_driver(engine, settings):
        if not engine.left_out:
            raise DriverFailed("ErrorDeviceLost")
        return engine.left_out, settings.gpu_layers

    load = Load(starter, LoadSettings(threads=1, gpu_layers=99))
    assert work.run(load, fail_in_the_driver, Progress()) == (("vulkan",), 0)
    assert weight_layout_works(work.paths.engine_limits_file, work.machine)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_engine_that_was_killed_is_not_tried_again(starter):
    work = plain_work(LoadSettings(threads=1, gpu_layers=0))

    def end(engine, _settings):
        os.kill(engine.pid, signal.SIGKILL)
        engine.devices()

    with pytest.raises(EngineDied):
        work.run(work.plan(starter, FIT), end, Progress())
    assert weight_layout_works(work.paths.engine_limits_file, work.machine)


def test_a_models_hash_is_its_files(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_model(path, Progress()) == digest
    with pytest.raises(ModelNotFound):
        hash_model(tmp_path / "none.gguf", Progress())


def test_a_split_models_hash_is_of_all_its_files(tmp_path):
    parts = [tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    for part in parts:
        part.write_bytes(part.name.encode())
    before = hash_model(parts[0], Progress())
    parts[1].write_bytes(b"changed")
    assert hash_model(parts[0], Progress()) != before


def test_the_time_that_is_left_is_told_between_the_ends():
    left, note = TimeLeft(), text("note")
    assert left.after(0, 4, note) is note
    assert left.after(4, 4, note) is note
    assert str(left.after(1, 4, note)) == "note, 0 s left"
    assert [str(duration(seconds)) for seconds in (12, 89, 120, 5000, 5500, 9000)] == [
        "12 s", "89 s", "2 min", "83 min", "2 hours", "2 hours",
    ]  # fmt: skip


def test_a_timed_progress_tells_of_steps_and_is_cancelled_with_its_outer_one():
    told = []
    outer = Progress(lambda done, total, note: told.append((done, total, str(note))))
    timed = TimedProgress(outer)
    timed.update(0, 1, text("first"))
    timed.update(1, 2, text("then"))
    timed.update(2, 4)
    assert told == [(0, 1, "first"), (1, 2, "then, 0 s left"), (2, 4, "None")]
    outer.cancel()
    assert timed.cancelled
    with pytest.raises(Cancelled):
        timed.update(3, 4)
