"""A run that did not close its window is known at the next start, once."""

import os
import subprocess
import sys
import time

import pytest

from localllm.core.diagnostics.last_run import RunMarker

_RUN = (
    "import faulthandler, os, pathlib, signal, sys\n"
    "from localllm.logs import start_logging\n"
    "from localllm.core.diagnostics.last_run import RunMarker\n"
    "logs = pathlib.Path(sys.argv[1])\n"
    "file = start_logging(logs, 'window')\n"
    "RunMarker(logs).begin()\n"
    "faulthandler._sigsegv() if sys.argv[2] == 'crash' else os.kill(os.getpid(), signal.SIGKILL)\n"
)


def run_and_die(logs, how):
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(logs), how], capture_output=True, check=False, env=os.environ
    )
    assert done.returncode < 0, done.stderr


def test_a_run_that_was_closed_leaves_nothing(tmp_path):
    first = RunMarker(tmp_path)
    assert first.begin() is None
    first.end()
    assert RunMarker(tmp_path).begin() is None


def test_a_run_that_still_goes_on_is_no_crash(tmp_path):
    assert RunMarker(tmp_path).begin() is None
    assert RunMarker(tmp_path).begin() is None


def test_a_killed_run_is_said_once(tmp_path):
    run_and_die(tmp_path, "kill")
    marker = RunMarker(tmp_path)
    end = marker.begin()
    assert end is not None
    assert abs(end.when - time.time()) < 120
    assert "killed" in str(end.cause)
    assert "No trace of a crash" in end.report
    marker.end()
    assert RunMarker(tmp_path).begin() is None


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_run_that_was_killed_this_moment_is_said_although_nobody_waited_for_it(tmp_path):
    run = subprocess.Popen([sys.executable, "-c", _RUN, str(tmp_path), "kill"], env=os.environ)
    os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)
    assert "killed" in str(RunMarker(tmp_path).begin().cause)
    run.wait()


def test_a_crash_has_its_own_trace_and_not_those_before(tmp_path):
    (tmp_path / "window.crash").write_text("Fatal Python error: an old one\n")
    run_and_die(tmp_path, "crash")
    end = RunMarker(tmp_path).begin()
    assert "Segmentation fault" in str(end.cause)
    assert "Segmentation fault" in end.report
    assert "an old one" not in end.report


def test_a_power_failure_is_told_from_a_kill(tmp_path, monkeypatch):
    run_and_die(tmp_path, "kill")
    monkeypatch.setattr("localllm.core.diagnostics.last_run.psutil.boot_time", lambda: time.time() + 60)
    assert "went off" in str(RunMarker(tmp_path).begin().cause)


def test_a_marker_that_cannot_be_read_is_an_unexpected_end(tmp_path):
    (tmp_path / "window.running").write_text("[not what we wrote")
    assert RunMarker(tmp_path).begin() is not None


def test_a_folder_that_is_not_there_costs_only_the_notice(tmp_path):
    (tmp_path / "logs").write_text("a file in the way")
    marker = RunMarker(tmp_path / "logs")
    assert marker.begin() is None
    marker.touch()
    marker.end()
