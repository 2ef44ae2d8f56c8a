"""Measurements, and the work that they must not be made beside."""

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from filelock import FileLock

from localllm.core import measuring_lock
from localllm.core.measuring_lock import measuring_alone, working
from localllm.errors import Cancelled, OwnWorkRuns
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.texts import text

BENCH = text("Bench of {models}", models="tiny")
WORK = text("Quantizing of “{name}”", name="tiny")
OTHER_PROGRAM = """
import sys
from localllm.core.measuring_lock import working
from localllm.progress import Progress
from localllm.texts import text

with working(text("Quantizing of “{name}”", name="theirs"), Progress()):
    print("at work", flush=True)
    sys.stdin.read()
"""


def folder():
    return Paths.for_user().data / "working"


def test_nothing_is_measured_beside_work_and_the_work_is_named():
    paths = Paths.for_user()
    with (
        working(WORK, Progress()),
        pytest.raises(OwnWorkRuns, match=r"Quantizing of “tiny” is not done yet"),
        measuring_alone(paths, BENCH),
    ):
        pass
    with measuring_alone(paths, BENCH):
        assert list(folder().glob("*.lock")) == []


def test_a_measurement_says_what_it_is_to_who_wants_another():
    paths = Paths.for_user()
    with measuring_alone(paths, BENCH):
        with pytest.raises(OwnWorkRuns, match="Bench of tiny is not done yet"), measuring_alone(paths, WORK):
            pass
        with pytest.raises(OwnWorkRuns, match="Bench of tiny"), measuring_alone(paths, WORK):
            pass
    with measuring_alone(paths, WORK), pytest.raises(OwnWorkRuns, match="Quantizing"):
        measuring_alone(paths, BENCH).__enter__()
    assert list(folder().iterdir()) == []


def test_the_work_of_another_program_counts_until_it_is_killed():
    paths = Paths.for_user()
    command = [sys.executable, "-c", OTHER_PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"at work"
        with pytest.raises(OwnWorkRuns, match="theirs"), measuring_alone(paths, BENCH):
            pass
        other.kill()
        other.wait()
        assert list(folder().iterdir()) != [], "it could not clean up"
        with measuring_alone(paths, BENCH):
            assert list(folder().glob("*.lock")) == []


def test_work_waits_for_a_measurement_and_can_be_cancelled_meanwhile():
    paths, told, done = Paths.for_user(), threading.Event(), threading.Event()

    def listen(_done, _total, note):
        if "Waiting" in str(note):
            told.set()

    def work():
        with working(WORK, Progress(listen)):
            done.set()

    with measuring_alone(paths, BENCH):
        cancelled = Progress()
        cancelled.cancel()
        with pytest.raises(Cancelled), working(WORK, cancelled):
            pass
        thread = threading.Thread(target=work)
        thread.start()
        assert told.wait(30)
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()


def test_several_works_do_not_hinder_each_other():
    with working(WORK, Progress()), working(text("The evaluation of “{name}”", name="x"), Progress()):
        assert len(list(folder().glob("*.lock"))) == 2


def test_what_says_nothing_readable_counts_too():
    paths = Paths.for_user()
    with working(WORK, Progress()):
        (words,) = folder().glob("*.json")
        words.write_text("{")
        with pytest.raises(OwnWorkRuns, match="Other work of LocalLLM"), measuring_alone(paths, BENCH):
            pass


def test_where_nothing_can_be_written_work_is_done_all_the_same():
    folder().parent.mkdir(parents=True)
    folder().write_text("a file where a folder should be")
    with working(WORK, Progress()):
        pass


def test_where_nothing_can_be_written_there_is_nobody_to_tell():
    paths = Paths.for_user()
    paths.data.parent.mkdir(parents=True, exist_ok=True)
    paths.data.write_text("in the way")
    done = []
    with measuring_alone(paths, BENCH):
        done.append("measured")
    with working(WORK, Progress()):
        done.append("worked")
    assert done == ["measured", "worked"]


def test_work_is_told_also_while_a_measurement_looks_whether_it_lives(monkeypatch):
    """It holds the file's lock for a moment: the work waits for that."""
    monkeypatch.setattr(measuring_lock, "uuid", SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="x")))
    folder().mkdir(parents=True)
    looking = FileLock(folder() / f"{os.getpid()}-x.lock", thread_local=False)
    looking.acquire()
    threading.Timer(0.2, looking.release).start()
    with (
        working(WORK, Progress()),
        pytest.raises(OwnWorkRuns, match="Quantizing of “tiny”"),
        measuring_alone(Paths.for_user(), BENCH),
    ):
        pass
