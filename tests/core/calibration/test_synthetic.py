import shutil
from collections import namedtuple

import pytest

from localllm.core.calibration.subjects import Pace, attention, dense, experts, trials
from localllm.core.calibration.synthetic import SyntheticModel, remove_left_over, write_synthetic
from localllm.core.shape import shape_from_gguf
from localllm.engine.client import Engine
from localllm.engine.protocol import BenchReport, BenchSample, BenchTest, LoadSettings
from localllm.errors import BadModelFile, Cancelled, LocalLLMError
from localllm.gguf import check_header, read_header
from localllm.progress import Progress

PLAIN = LoadSettings(threads=1, extra_buffers=False)


@pytest.mark.parametrize("model", [dense("Q4_K_M", 2**25), experts("cpu"), attention("cpu")])
def test_the_file_is_what_was_asked_for(tmp_path, model):
    header = read_header(write_synthetic(model, tmp_path))
    check_header(header)
    assert header.weight_bytes == model.weight_bytes
    assert header.file_size == header.data_offset + sum(-(-t.size // 32) * 32 for t in header.tensors)
    found = shape_from_gguf(header.metadata, header.tensors)
    if not model.shape.experts:
        assert found == model.shape


def test_the_size_is_about_what_was_asked_for():
    for size in (2**26, 2**28):
        for quant in ("Q4_K_M", "Q8_0"):
            assert dense(quant, size).weight_bytes == pytest.approx(size, rel=0.5)


@pytest.mark.parametrize("quant", ["Q8_0", "Q4_K_M"])
def test_the_engine_measures_it_without_a_vocabulary(tmp_path, quant):
    shape = attention("cpu").shape
    path = write_synthetic(SyntheticModel(shape, quant), tmp_path)
    engine = Engine()
    try:
        engine.wait_until_ready()
        tests = (BenchTest(8, 0, 0, 2), BenchTest(0, 2, 0, 3), BenchTest(0, 2, 16, 2), BenchTest(4, 2, 0, 1))
        report, *events = engine.bench(path, PLAIN, tests)
        samples = [event for event in events if isinstance(event, BenchSample)]
        assert [sample.test for sample in samples] == [0, 0, 1, 1, 1, 2, 2, 3]
        assert all(sample.nanoseconds > 1000 for sample in samples)
        assert isinstance(report, BenchReport)
        assert report.layers == shape.layers
        assert report.size == read_header(path).weight_bytes
        with pytest.raises(BadModelFile):
            engine.load(path, PLAIN)  # it cannot chat

    finally:
        engine.stop()


def test_measuring_can_be_stopped(tmp_path):
    path = write_synthetic(attention("cpu"), tmp_path)
    engine, progress = Engine(), Progress()
    try:
        engine.wait_until_ready()
        run = engine.bench(path, PLAIN, (BenchTest(0, 8, 0, 100_000),), progress)
        next(event for event in run if isinstance(event, BenchSample))
        progress.cancel()
        with pytest.raises(Cancelled):
            list(run)
        assert list(engine.bench(path, PLAIN, (BenchTest(0, 1, 0, 1),))), "the engine goes on"
    finally:
        engine.stop()


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(2**40, 2**40 - 2**20, 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(LocalLLMError, match=r"needs 2.* of disk"):
        write_synthetic(attention("cpu"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_of_ended_programs_are_removed(tmp_path, monkeypatch):
    old = write_synthetic(attention("cpu"), tmp_path)
    remove_left_over(tmp_path)
    assert old.exists(), "it may be in use"
    monkeypatch.setattr("localllm.core.calibration.synthetic.time.time", lambda: old.stat().st_mtime + 7200)
    remove_left_over(tmp_path)
    assert not old.exists()


@pytest.mark.parametrize("role", ["cpu", "gpu"])
@pytest.mark.parametrize("speed", [2e8, 1e10, 3e11])
def test_slow_devices_get_less_to_do(role, speed):
    chosen = trials(role, Pace(speed, 20 * speed), 8 * 2**30)
    assert [trial.name for trial in chosen] == ["dense Q4_K_M", "dense Q8_0", "experts Q4_K_M", "attention"]
    for trial in chosen:
        for test in trial.tests:
            assert test.repetitions >= 1
            assert test.prompt_tokens + test.generated_tokens >= 4
    most = 400 * 2**20 if role == "cpu" else 2.4 * 2**30
    assert max(trial.model.weight_bytes for trial in chosen) <= most
