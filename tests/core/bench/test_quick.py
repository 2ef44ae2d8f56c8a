"""The quick bench keeps to its time, whatever was predicted."""

import time

import pytest

from localllm.core.bench import Bench, BenchedModel, BenchHistory
from localllm.core.bench.quick import Quick, run_quick
from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.core.estimate import Estimator
from localllm.core.measuring_lock import measuring_alone
from localllm.errors import OwnWorkRuns
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.texts import text
from tests.core import machines

PLAIN = {"repack": (False,)}  # AMX crashes on some machines


@pytest.fixture
def bench():
    paths = Paths.for_user()
    history = BenchHistory(paths.benches_file)
    return Bench(paths, machines.REFERENCE, Estimator.for_paths(paths), history, anyway=True)


@pytest.fixture
def tiny(tmp_path):
    path = write_synthetic(SyntheticModel(llama(1, 256, 512, 2, vocabulary=512), "Q8_0"), tmp_path)
    return BenchedModel(path, "tiny")


def measure(bench, model, began, **chosen):
    rows, plans = [], []
    wanted = Quick([model], began, 1, {**PLAIN, **chosen})
    number = run_quick(bench, wanted, rows.append, Progress(), name="quick", on_plan=plans.append)
    assert bench.history.run(number).rows == tuple(rows)
    ((configuration,),) = plans
    return rows, configuration


def test_where_time_is_over_the_least_is_measured_once(bench, tiny):
    rows, planned = measure(bench, tiny, time.monotonic() - 100)
    assert [row.test for row in rows] == ["pp8", "tg2"]
    assert [len(row.samples) for row in rows] == [1, 1]
    assert [test.repetitions for test in planned.tests] == [5, 5]


def test_repetitions_that_somebody_asked_for_are_made(bench, tiny):
    rows, planned = measure(bench, tiny, time.monotonic() - 100, repetitions=3, generated=(0,))
    assert [(row.test, len(row.samples)) for row in rows] == [("pp8", 3)]
    assert planned.tests[0].repetitions == 3


def test_a_model_that_cannot_be_tried_has_a_row_with_its_reason(bench, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    rows, _ = measure(bench, BenchedModel(broken, "broken"), time.monotonic())
    assert [row.test for row in rows] == ["pp64", "tg16"]
    assert all(row.failure for row in rows)


def test_never_beside_another_measurement(bench, tiny):
    with (
        measuring_alone(bench.paths, text("Tuning of {model}", model="tiny")),
        pytest.raises(OwnWorkRuns, match="Tuning of tiny"),
    ):
        measure(bench, tiny, time.monotonic())
