"""A bench on a disk that is full, and output that has nowhere to go: sentences, and what was measured is shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localllm.cli.main import run
from localllm.core.bench import BenchHistory
from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.paths import Paths
from tests.core.bench.rows import JSON, row
from tests.robust.conftest import fill

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a disk of its own")
QUICK = ["-p", "4", "-n", "0", "-r", "1", "-t", "1", "-ngl", "0", "--repack", "0", "--anyway"]


@pytest.fixture
def model(tmp_path):
    return write_synthetic(SyntheticModel(llama(1, 256, 512, 2, vocabulary=512), "Q8_0"), tmp_path / "models")


def test_what_was_measured_is_shown_though_it_cannot_be_kept(disk, model, capsys):
    history = BenchHistory(Paths.for_user().benches_file)
    history.add(history.begin({}, name="from before"), row())
    fill(disk)
    assert run(["bench", "-m", str(model), *QUICK, "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["run"] == 0
    assert found["rows"][0]["avg_ts"] > 0
    assert "the history cannot be written" in shown.err
    assert [one.name for one in history.runs()] == ["from before"]


def test_an_import_that_has_no_room_is_a_sentence(disk, tmp_path, capsys):
    theirs = tmp_path / "theirs.json"
    theirs.write_text(JSON)
    assert run(["bench", "--import", str(theirs)]) == 0
    fill(disk)
    assert run(["bench", "--import", str(theirs)]) == 1
    assert "The history of benches cannot be read or written" in capsys.readouterr().err
    assert len(BenchHistory(Paths.for_user().benches_file).runs()) == 1


def test_a_history_that_could_not_even_be_begun_is_empty(disk):
    Paths.for_user().benches_file.parent.mkdir(parents=True, exist_ok=True)
    fill(disk)
    history = BenchHistory(Paths.for_user().benches_file)
    assert history.begin({}) == 0
    assert history.runs() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such file")
@pytest.mark.parametrize("form", [[], pytest.param(["--json"], marks=pytest.mark.torture)])
def test_output_that_has_no_room_is_a_sentence(form):
    history = BenchHistory(Paths.for_user().benches_file)
    history.add(history.begin({}), row())
    with Path("/dev/full").open("w") as nowhere:
        failed = subprocess.run(
            [sys.executable, "-m", "localllm", "bench", "--history", *form],
            stdout=nowhere,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    assert failed.returncode == 1
    assert failed.stderr.startswith("What was asked for could not be written: No space left on device.")
    assert "Exception ignored" not in failed.stderr
