"""Measured speeds are kept, belong to their machine, and make predictions."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from localllm.core.fit import FitSettings, Placement
from localllm.core.speed import SpeedHistory, TimedModel, predict_speed
from localllm.core.speed.history import Subject, key_of
from localllm.engine.protocol import BenchTest, LoadSettings, Stats
from tests.core import machines

CPU = Placement("cpu", 0, 0, 0)
SETTINGS = LoadSettings(threads=2)
AT_ONCE = FitSettings(256)
TG = BenchTest(generated_tokens=16)


@pytest.fixture
def history(tmp_path):
    return SpeedHistory(tmp_path / "data" / "speeds.db")


def subject(catalogue, name="llama-3.1-8b-instruct", quant="Q4_K_M", machine=machines.REFERENCE, **settings):
    shape = catalogue.model(name).shape
    model = TimedModel(shape, catalogue.quants.get(quant).weight_bytes(shape), quant)
    return Subject(machine, f"{name}.{quant}", model, CPU, replace(SETTINGS, **settings))


def stats(tokens=50, per_second=5.0, prompt=300, prompt_ms=10_000.0, used=350):
    return Stats(prompt, 0, prompt_ms, tokens, (tokens - 1) / per_second * 1000, context_used=used)


def predict(history, subject, measured=None, placement=CPU, machine=machines.REFERENCE):
    return predict_speed(
        machine, subject.model.shape, subject.model.weights, placement, AT_ONCE, history.fits(machine),
        quant=subject.model.quant, measured=measured,
    )  # fmt: skip


def test_before_anything_was_measured_there_is_only_the_table(history, catalogue):
    assert history.fits(machines.REFERENCE) is None
    assert predict(history, subject(catalogue)).basis == "table"


def test_an_answer_makes_predictions_for_it_and_for_others(history, catalogue):
    asked, other = subject(catalogue), subject(catalogue, "qwen3-8b")
    for speed in (2.4, 2.5, 2.6):
        history.add_answer(asked, stats(per_second=speed))
    here = predict(history, asked, asked.key)
    assert here.basis == "measured"
    assert here.tokens_per_second == pytest.approx(2.5, rel=0.1), "a little faster with less in the cache"
    assert here.low < 2.5 < here.high
    there = predict(history, other, other.key)
    assert there.basis == "calibrated"
    assert there.tokens_per_second == pytest.approx(2.4, rel=0.15)
    assert there.high / there.low > here.high / here.low


def test_the_gpu_stays_with_the_table_where_only_the_cpu_was_measured(history, catalogue):
    machine = machines.RTX_4090
    asked = subject(catalogue, machine=machine, threads=machine.cpu.usable_cores)
    history.add_answer(asked, stats())
    on_gpu = Placement("gpu", 33, 0, 0)
    assert predict(history, asked, placement=on_gpu, machine=machine).basis == "table"
    assert predict(history, asked, machine=machine).basis == "calibrated"


def test_both_devices_are_summed(history, catalogue):
    machine = machines.RTX_4090
    threads = machine.cpu.usable_cores
    asked = subject(catalogue, machine=machine, threads=threads)
    layers = asked.model.shape.layers
    on_gpu = replace(asked, placement=Placement("gpu", layers + 1, 0, 0))
    history.add_bench(asked, TG, [int(16 * 0.2e9)] * 2)
    history.add_bench(on_gpu, TG, [int(16 * 0.01e9)] * 2)
    half = predict(history, asked, placement=Placement("partly_gpu", layers // 2 + 1, 0, 0), machine=machine)
    assert half.basis == "calibrated"
    assert 1 / half.tokens_per_second == pytest.approx((0.2 + 0.01) / 2, rel=0.1)


def test_short_answers_and_other_machines_do_not_count(history, catalogue):
    history.add_answer(subject(catalogue), stats(tokens=3, prompt=10))
    assert history.fits(machines.REFERENCE) is None
    history.add_answer(subject(catalogue, machine=machines.LAPTOP), stats())
    assert history.fits(machines.REFERENCE) is None
    history.add_answer(subject(catalogue, threads=1), stats())
    assert history.fits(machines.REFERENCE) is None
    assert history.fits(machines.REFERENCE, threads=1) is not None


def test_a_disturbed_answer_is_dropped(history, catalogue):
    asked = subject(catalogue)
    for _ in range(8):
        history.add_answer(asked, stats(per_second=2.5, prompt=0))
    history.add_answer(asked, stats(per_second=0.3, prompt=0))
    fits = history.fits(machines.REFERENCE)
    assert (fits.writing.used, fits.writing.dropped) == (8, 1)
    assert predict(history, asked).tokens_per_second == pytest.approx(2.6, rel=0.1)


def test_a_calibration_counts_only_when_it_is_complete_and_the_newest_one_only(history, catalogue):
    asked = subject(catalogue)
    history.add_bench(asked, TG, [int(16 * 0.4e9)], calibration="first")
    assert history.fits(machines.REFERENCE) is None
    history.end_calibration(machines.REFERENCE, 2, "first", {"devices": {"cpu": "CPU"}})
    assert predict(history, asked).tokens_per_second == pytest.approx(2.5, rel=0.05)
    history.add_bench(asked, TG, [int(16 * 0.2e9)], calibration="second")
    history.end_calibration(machines.REFERENCE, 2, "second", {})
    assert predict(history, asked).tokens_per_second == pytest.approx(5, rel=0.05)
    assert history.calibration(machines.REFERENCE)["run"] == "second"


def test_a_damaged_file_costs_the_figures_only(history, catalogue, tmp_path, caplog):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "speeds.db").write_bytes(b"not a database" * 100)
    assert history.fits(machines.REFERENCE) is None
    history.add_answer(subject(catalogue), stats())
    assert history.fits(machines.REFERENCE) is not None, "what is learned from now on is kept"
    assert "begun anew" in caplog.text


def test_a_file_that_cannot_be_opened_costs_the_figures_only(history, catalogue, tmp_path, caplog):
    (tmp_path / "data" / "speeds.db").mkdir(parents=True)
    history.add_answer(subject(catalogue), stats())
    assert history.fits(machines.REFERENCE) is None
    assert "could not be" in caplog.text


def test_several_programs_write_at_once(tmp_path, catalogue):
    asked, file = subject(catalogue), tmp_path / "speeds.db"

    def write():
        mine = SpeedHistory(file)
        for _ in range(10):
            mine.add_answer(asked, stats(prompt=0))

    workers = [threading.Thread(target=write) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    db = sqlite3.connect(file)
    assert db.execute("SELECT count(*) FROM speeds").fetchone() == (40,)
    db.close()


def test_what_another_program_adds_is_seen(tmp_path, catalogue):
    asked = subject(catalogue)
    mine, other = SpeedHistory(tmp_path / "s.db"), SpeedHistory(tmp_path / "s.db")
    other.add_answer(asked, stats(per_second=2.0))
    before = mine.fits(machines.REFERENCE)
    assert mine.fits(machines.REFERENCE) is before, "not computed anew for nothing"
    other.add_answer(asked, stats(per_second=2.0))
    assert mine.fits(machines.REFERENCE).writing.used == 2


def test_settings_that_change_the_speed_have_keys_of_their_own():
    plain = key_of("m", CPU, SETTINGS)
    assert plain == key_of("m", CPU, replace(SETTINGS, context_length=100))
    assert plain != key_of("m", CPU, replace(SETTINGS, kv_type_k="q8_0"))
    assert plain != key_of("m", Placement("gpu", 33, 0, 0), SETTINGS)


@pytest.mark.parametrize(
    "column",
    [
        "quantities = '[1.0]'",
        "quantities = '[1e999]'",
        f"quantities = '{[0.0] * 10}'",
        f"quantities = '{[-1.0] * 10}'",
        "seconds = 0",
    ],
)
def test_what_a_damaged_row_says_is_passed_over(history, catalogue, tmp_path, column):
    asked = subject(catalogue)
    for _ in range(2):
        history.add_answer(asked, stats(per_second=2.5, prompt=0))
    with closing(sqlite3.connect(tmp_path / "data" / "speeds.db")) as db, db:
        db.execute(f"UPDATE speeds SET {column} WHERE id = 1")
    assert history.fits(machines.REFERENCE).writing.used == 1
