"""A bench on a disk that is full, and output that has nowhere to go: sentences, and what was measured is shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localllm.core.bench import BenchHistory
from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.paths import Paths
from tests.core.bench.rows import row
from tests.robust.conftest import fill

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a disk of its own")
QUICK = ["-p", "4", "-n", "0", "-r", "1", "-t", "1", "-ngl", "0", "--repack", "0", "--anyway"]


@pytest.fixture
def model(tmp_path):
    return write_synthetic(SyntheticModel(llama(1, 256, 512, 2, vocabulary=512), "Q8_0"), tmp_path / "models")


def bench(*arguments, stdout=subprocess.PIPE):
    done = subprocess.run(
        [sys.executable, "-m", "localllm", "bench", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert "error of its own" not in done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_what_was_measured_is_shown_though_it_cannot_be_kept(disk, model):
    history = BenchHistory(Paths.for_user().benches_file)
    kept = history.begin({}, name="from before")
    history.add(kept, row())
    fill(disk)
    measured = bench("-m", model, *QUICK, "--json")
    assert measured.returncode == 0, measured.stderr
    found = json.loads(measured.stdout)
    assert found["run"] == 0
    assert found["rows"][0]["avg_ts"] > 0
    assert "the history cannot be written" in measured.stderr
    assert [run.name for run in history.runs()] == ["from before"]


def test_a_history_that_could_not_even_be_begun_is_empty(disk):
    Paths.for_user().benches_file.parent.mkdir(parents=True, exist_ok=True)
    fill(disk)
    history = BenchHistory(Paths.for_user().benches_file)
    assert history.begin({}) == 0
    assert history.runs() == []


def test_an_import_that_has_no_room_is_a_sentence(disk, tmp_path, model):
    theirs = tmp_path / "theirs.jsonl"
    with theirs.open("w") as file:
        assert bench("-m", model, *QUICK, "-o", "jsonl", stdout=file).returncode == 0
    fill(disk)
    refused = bench("--import", theirs)
    assert refused.returncode == 1
    assert "The history of benches cannot be read or written" in refused.stderr
    assert len(BenchHistory(Paths.for_user().benches_file).runs()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such file")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_output_that_has_no_room_is_a_sentence(form):
    history = BenchHistory(Paths.for_user().benches_file)
    history.add(history.begin({}), row())
    with Path("/dev/full").open("w") as nowhere:
        failed = bench("--history", *form, stdout=nowhere)
    assert failed.returncode == 1
    assert failed.stderr.startswith("What was asked for could not be written: No space left on device.")
    assert "Exception ignored" not in failed.stderr
