"""Real runs in a real engine, on models that take milliseconds."""

import dataclasses
import math
import threading

import psutil
import pytest

from localllm.core.bench import Bench, BenchedModel, BenchHistory, Parameters, make_plan, run_bench
from localllm.core.bench.energy import Meters
from localllm.core.bench.guard import Conditions, Guard
from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.core.estimate import Estimator
from localllm.core.measuring_lock import measuring_alone
from localllm.engine.client import Engine
from localllm.engine.protocol import BenchReport
from localllm.errors import Cancelled, LocalLLMError, MachineBusy, OwnWorkRuns
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.texts import text
from tests.core import machines

QUICK = Parameters((8,), (2,), threads=(1,), gpu_layers=(0,), repack=(False,), repetitions=2)


class Idle:
    """A computer on which nobody else works."""

    load = 0.0
    step = 0.0

    def busy_seconds(self):
        self.load += self.step
        return self.load

    def own_seconds(self):
        return 0.0


class Busy(Idle):
    step = 10.0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    shape = llama(1, 256, 512, 2, vocabulary=512)
    return write_synthetic(SyntheticModel(shape, "Q8_0"), tmp_path_factory.mktemp("models"))


def bench(computer=None, *, anyway=False):
    paths = Paths.for_user()
    return Bench(
        paths, machines.REFERENCE, Estimator.for_paths(paths), BenchHistory(paths.benches_file),
        computer or Idle(), anyway=anyway,
    )  # fmt: skip


def plan(path, **changes):
    return make_plan([BenchedModel(path, "tiny", "abc")], dataclasses.replace(QUICK, **changes), cores=1)


def test_every_test_gives_a_row_that_is_kept(model):
    rows, here = [], bench()
    told = []
    progress = Progress(lambda done, total, _note: told.append((done, total)))
    number = run_bench(
        here,
        plan(model, pairs=((4, 2),), depths=(0, 16), sequences=(1, 2)),
        rows.append,
        progress,
        name="first",
    )
    assert [row.test for row in rows] == [
        "pp8", "tg2", "pp4+tg2", "pp8 × 2", "tg2 × 2", "pp4+tg2 × 2",
        "pp8 @ d16", "tg2 @ d16", "pp4+tg2 @ d16", "pp8 @ d16 × 2", "tg2 @ d16 × 2", "pp4+tg2 @ d16 × 2",
    ]  # fmt: skip
    assert [str(row.failure) for row in rows if row.failure] == []
    assert all(len(row.samples) == 2 and row.mean > 0 and row.peak_memory > 1 << 20 for row in rows)
    assert all(row.buffers[0].weights > 0 and row.load_ms > 0 for row in rows)
    assert all(row.disturbed == ((), ()) for row in rows)
    assert told[-1] == (24, 24)
    kept = here.history.run(number)
    assert kept is not None
    assert kept.rows == tuple(rows)
    assert kept.name == "first"
    assert kept.facts["machine"]["cpu"]["usable_cores"] == 2
    assert kept.facts["engine"]["commit"]
    assert here.estimator.speeds.fits(machines.REFERENCE, 1) is not None, "predictions know of it"


def test_what_fails_is_a_row_and_the_next_is_measured(model):
    rows = []
    wanted = plan(model, kv_types_v=("q4_0", "f16"), flash=("off",), generated=(0,), repetitions=1)
    run_bench(bench(), wanted, rows.append, Progress())
    refused, good = rows
    assert "flash_attn" in str(refused.failure)
    assert good.failure is None
    assert good.mean > 0


def test_a_file_that_is_no_model_is_a_row(tmp_path, model):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(model.read_bytes()[:200])
    rows = []
    run_bench(bench(), plan(broken), rows.append, Progress())
    assert [row.test for row in rows] == ["pp8", "tg2"]
    assert all(row.failure is not None for row in rows)


def test_what_does_not_fit_is_not_tried(starter, model):
    rows = []
    changes = {"depths": (0, 5 * 2**18), "generated": (0,), "repetitions": 1}
    run_bench(bench(), plan(starter, **changes), rows.append, Progress())
    large, small = rows  # the largest is looked at first
    assert "needs about" in str(large.failure)
    assert small.mean > 0
    endless = plan(model, depths=(2**31 - 100,), generated=(0,))
    run_bench(bench(anyway=True), endless, rows.append, Progress())
    assert "at most" in str(rows[2].failure)


def test_impossible_amounts_are_sentences(model):
    wrong = (
        ({"threads": (513,)}, "threads are possible: 512"),
        ({"sequences": (257,)}, "n_seq_max"),
        ({"overrides": (("ffn=Nowhere",),)}, "no buffer “Nowhere”"),
        ({"devices": ("Nowhere",)}, "no graphics device “Nowhere”"),
    )
    rows = []
    wanted = [one for changes, _ in wrong for one in plan(model, generated=(0,), **changes)]
    wanted += plan(model, generated=(0,), batches=(2**31 - 1,))
    run_bench(bench(anyway=True), wanted, rows.append, Progress())
    for row, (_, words) in zip(rows, wrong, strict=False):
        assert words in str(row.failure)
    assert rows[-1].mean > 0


def test_an_engine_that_is_killed_is_a_row_and_the_next_is_measured(model):
    rows, first = [], []

    def on_row(row):
        rows.append(row)
        if not first:
            first.append(row)
            (engine,) = (
                child for child in psutil.Process().children(recursive=True)
                if "localllm.engine.child" in " ".join(child.cmdline())
            )  # fmt: skip
            engine.kill()

    wanted = plan(model, repetitions=3, depths=(0, 4096), threads=(1, 1))
    run_bench(bench(), wanted, on_row, Progress())
    assert len(rows) == 8
    killed = [row for row in rows if row.failure is not None]
    assert len(killed) == 1
    assert "The engine stopped" in str(killed[0].failure)


def test_a_history_that_cannot_be_kept_costs_only_the_history(model):
    here = bench()
    here.paths.benches_file.mkdir(parents=True)
    rows = []
    number = run_bench(here, plan(model, generated=(0,)), rows.append, Progress())
    assert number == 0
    assert rows[0].mean > 0
    with pytest.raises(LocalLLMError, match="cannot be read"):
        here.history.runs()


def test_stopped_it_keeps_what_is_finished(model):
    here, progress, rows = bench(), Progress(), []

    def on_row(row):
        rows.append(row)
        progress.cancel()

    with pytest.raises(Cancelled):
        run_bench(here, plan(model, repetitions=20), on_row, progress)
    assert [row.test for row in rows] == ["pp8"]
    (kept,) = here.history.runs()
    assert kept.rows == tuple(rows)


def test_never_beside_another_measurement(model):
    here = bench()
    with (
        measuring_alone(here.paths, text("Tuning of {model}", model="tiny")),
        pytest.raises(OwnWorkRuns, match="Tuning of tiny is not done yet"),
    ):
        run_bench(here, plan(model), lambda _row: None, Progress())
    assert here.history.runs() == []


def test_never_beside_busy_programs_unless_told_to(model):
    with pytest.raises(MachineBusy, match="busy"):
        run_bench(bench(Busy()), plan(model), lambda _row: None, Progress())
    rows = []
    run_bench(bench(Busy(), anyway=True), plan(model, generated=(0,)), rows.append, Progress())
    assert rows[0].disturbed == (("load",), ("load",))
    assert rows[0].undisturbed == ()


def test_a_rest_before_a_test_can_be_stopped(model):
    engine, progress = Engine(), Progress()
    (configuration,) = plan(model, delay=3600)
    try:
        engine.wait_until_ready()
        settings = dataclasses.replace(configuration.settings, extra_buffers=False)
        events = engine.bench(model, settings, configuration.tests, progress)
        assert isinstance(next(events), BenchReport)
        progress.cancel()
        with pytest.raises(Cancelled):
            next(events)
        assert engine.devices()["devices"], "it did not have to be ended for that"
    finally:
        engine.stop()


def test_heat_swap_power_and_clock_disturb_the_whole_test(tmp_path):
    calm = Conditions(battery=False, clock=3000.0, hottest=60.0, power_mode="balanced", swapped=0)
    now = calm
    guard = Guard(Idle(), 2, Meters(tmp_path), lambda: now)

    def reasons(**changes):
        nonlocal now
        now = calm
        watch = guard.watch(0)
        watch.sample()
        now = dataclasses.replace(calm, **changes)
        return watch.end()

    assert reasons() == ((),)
    assert reasons(hottest=97.0) == (("heat",),)
    assert reasons(swapped=1 << 30) == (("swap",),)
    assert reasons(battery=True) == (("battery",),)
    assert reasons(power_mode="powersave") == (("battery",),)
    assert reasons(clock=2000.0) == (("clock",),)
    assert reasons(clock=None, hottest=None) == ((),)


def test_a_damaged_history_is_begun_anew(tmp_path):
    file = tmp_path / "benches.db"
    file.write_bytes(b"this is no database" * 100)
    history = BenchHistory(file)
    number = history.begin({})
    assert [run.id for run in history.runs()] == [number]
    history.remove(number)
    assert history.runs() == []
    assert history.run(7) is None


def test_several_programs_may_write_at_once(tmp_path):
    file = tmp_path / "benches.db"
    threads = [threading.Thread(target=lambda: BenchHistory(file).begin({"n": math.pi})) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(BenchHistory(file).runs()) == 8
