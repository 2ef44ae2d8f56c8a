"""Measured speeds are kept, belong to their machine, and make predictions."""

import itertools
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.core.fit import FitSettings, Placement
from localllm.core.speed import SpeedFits, SpeedHistory, TimedModel, predict_speed
from localllm.core.speed.fits import figures, work_of_token
from localllm.core.speed.history import Subject, key_of
from localllm.core.speed.linear import Observation
from localllm.core.speed.linear import predict as predicted
from localllm.core.speed.table import table_rates
from localllm.engine.protocol import BenchTest, LoadSettings, Stats
from tests.core import machines

CPU = Placement("cpu", 0, 0, 0)
SETTINGS = LoadSettings(threads=2)
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


def predict(history, subject, measured=None, placement=CPU, machine=machines.REFERENCE, depth=64):
    return predict_speed(
        machine, subject.model.shape, subject.model.weights, placement, FitSettings(4 * depth),
        history.fits(machine), quant=subject.model.quant, measured=measured,
    )  # fmt: skip


def at_depths(history, asked, depths):
    return [predict(history, asked, asked.key, depth=depth) for depth in depths]


def width(speed):
    return speed.high / speed.low


def add_smollm(history, catalogue, *depths, slower=1.0):
    """Add what was measured of SmolLM2 on two cores of a Xeon, without repacked weights."""
    asked = subject(catalogue, "smollm2-135m-instruct", "Q4_1")
    for depth in depths:
        took = {98: 1 / 55, 520: 0.0297, 2056: 0.0598}[depth]
        test = BenchTest(generated_tokens=16, depth=depth - 8)
        history.add_bench(asked, test, [int(16 * slower * took * 1e9)])
    return asked


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
    assert str(here.source) == "measured on this computer"
    there = predict(history, other, other.key)
    assert there.basis == "calibrated"
    assert there.tokens_per_second == pytest.approx(2.4, rel=0.15)
    assert there.high / there.low > here.high / here.low


def test_a_short_answer_says_little_of_a_long_context(history, catalogue):
    asked = add_smollm(history, catalogue, 98)
    near, far = at_depths(history, asked, (98, 2056))
    assert (near.basis, far.basis, far.measured_depth) == ("measured", "carried", 98)
    assert near.tokens_per_second == pytest.approx(55, rel=0.01)
    assert far.low < 16.7 < far.high
    assert far.tokens_per_second == pytest.approx(16.7, rel=0.25)
    assert width(far) > 2 * width(near)
    assert str(far.source) == "estimated from a measurement here with 98 tokens in the context"


@pytest.mark.parametrize("slower", [0.1, 0.5, 2.0, 40.0])
def test_what_is_true_of_other_computers_lies_within_too(history, catalogue, slower):
    asked = add_smollm(history, catalogue, 98, slower=slower)
    for depth, seconds in ((520, 0.0297), (2056, 0.0598)):
        far = predict(history, asked, asked.key, depth=depth)
        assert far.low < 1 / (slower * seconds) < far.high


def test_a_long_answer_says_little_of_a_short_one(history, catalogue):
    asked = add_smollm(history, catalogue, 2056)
    far, near = at_depths(history, asked, (98, 2056))
    assert (near.basis, far.basis, far.measured_depth) == ("measured", "carried", 2056)
    assert far.low < 55 < far.high
    assert width(far) > 1.5 * width(near)


def test_a_second_depth_says_what_the_cache_costs(history, catalogue):
    asked = add_smollm(history, catalogue, 98)
    unsure = at_depths(history, asked, (520, 2056))
    add_smollm(history, catalogue, 2056)
    between, deep = at_depths(history, asked, (520, 2056))
    assert (between.basis, deep.basis) == ("carried", "measured")
    assert between.low < 1 / 0.0297 < between.high
    assert deep.tokens_per_second == pytest.approx(16.7, rel=0.05)
    assert width(between) < width(unsure[0])
    assert width(deep) < 0.6 * width(unsure[1])


def measured_once(asked, depth, slower):
    """Return the fits of a computer so much slower than the table, where one depth was measured."""
    table, work = table_rates(asked.machine, 2)[0], work_of_token(asked.model, asked.place, depth)
    seconds = slower * predicted(table, work)
    return seconds, SpeedFits(2, figures([Observation(asked.key, work, seconds)], table), figures([], table))


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "qwen3-30b-a3b", "gemma-3-4b-it"])
def test_deeper_is_never_faster_and_doubt_grows_with_the_distance(catalogue, name):
    asked = subject(catalogue, name)

    @settings(max_examples=15)
    @given(st.integers(1, 20_000), st.floats(0.2, 5), st.lists(st.integers(1, 4000), min_size=3, max_size=6))
    def check(measured, slower, steps):
        seconds, fits = measured_once(asked, measured, slower)

        def at(depth):
            return predict_speed(
                asked.machine, asked.model.shape, asked.model.weights, CPU, FitSettings(4 * depth), fits,
                quant=asked.model.quant, measured=asked.key,
            )  # fmt: skip

        away = [0, *itertools.accumulate(steps)]
        deeper = [at(measured + distance) for distance in away]
        shallower = [at(measured - distance) for distance in away if distance < measured]
        assert deeper[0].basis == "measured"
        assert deeper[0].tokens_per_second == pytest.approx(1 / seconds, rel=0.02)
        for speeds, sign in ((deeper, 1), (shallower, -1)):
            for one, farther in itertools.pairwise(speeds):
                assert sign * (one.tokens_per_second - farther.tokens_per_second) >= -1e-9
                assert width(farther) >= width(one) * (1 - 1e-9)
        for speed in deeper + shallower:
            near = 1 / 1.1 <= speed.tokens_per_second / deeper[0].tokens_per_second <= 1.1
            assert speed.measured_depth == (None if near else measured)
            assert speed.basis == ("measured" if near else "carried")

    check()


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
