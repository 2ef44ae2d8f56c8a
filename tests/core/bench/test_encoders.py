"""Models that only embed: a bench of them is a row or a sentence."""

import dataclasses

import pytest

from localllm.core.bench import run_bench
from localllm.progress import Progress
from tests.core import machines
from tests.core.bench.test_run import bench, plan
from tests.core.fit.synthetic import write_header


@pytest.fixture
def encoder(tmp_path, catalogue):
    shape = catalogue.model("all-minilm-l6-v2").shape
    write_header(
        tmp_path / "encoder.gguf", dataclasses.replace(shape, layers=1, full_layers=1, vocabulary=512)
    )
    return tmp_path / "encoder.gguf"


def test_a_test_is_a_row_or_a_sentence(encoder):
    rows = []
    wanted = plan(encoder, pairs=((4, 2),), depths=(0, 16), sequences=(1, 2))
    wanted += plan(encoder, prompts=(32, 64, 10_000), generated=(0,), ubatches=(32,), repetitions=1)
    here = bench()
    run_bench(here, wanted, rows.append, Progress())
    *measured, no_room, too_long = rows
    assert len(measured) == 2 * 2 * 3 + 1
    assert [str(row.failure) for row in measured if row.failure] == []
    assert "needs a physical batch of 64 tokens" in str(no_room.failure)
    assert "This model reads" in str(too_long.failure)
    assert here.estimator.speeds.fits(machines.REFERENCE, 1) is None, "nothing is said of models that write"
