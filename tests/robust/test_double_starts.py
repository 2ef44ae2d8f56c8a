"""However often the program is started, there is one window; what a killed one left is no obstacle."""

import os
import subprocess
import sys
import time

import pytest

from localllm.paths import Paths
from localllm.ui.single_window import SingleWindow, hand_over

PATIENCE = 120  # seconds; a busy computer starts slowly


@pytest.fixture
def start(home):
    """Start the real window, with no screen."""
    began = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-m", "localllm"],
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        began.append(process)
        return process

    yield start
    for process in began:
        process.kill()
        process.communicate()


def wait_for_window(data):
    deadline = time.monotonic() + PATIENCE
    while not hand_over(data):
        assert time.monotonic() < deadline, "the window has not come"
        time.sleep(0.05)


def start_many_times(start, times):
    """Start a window, then again and again; return what each later start took, in seconds."""
    data = Paths.for_user().data
    first, took = start(), []
    wait_for_window(data)
    for _ in range(times):
        began = time.monotonic()
        assert start().wait(PATIENCE) == 0
        took.append(time.monotonic() - began)
    assert first.poll() is None
    assert str(first.pid) in (data / "window.lock").read_text().split("\n")
    print(f"{times} double starts: median {sorted(took)[times // 2]:.2f} s, slowest {max(took):.2f} s")
    return first


def test_there_is_one_window_until_it_is_killed(start, qapp):
    first = start_many_times(start, 3)
    first.kill()
    first.wait()
    assert not hand_over(Paths.for_user().data)
    assert (Paths.for_user().data / "window.lock").exists()
    next_one = SingleWindow(Paths.for_user().data)
    assert next_one.take()
    next_one.release()


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_fifty_double_starts(start, qapp):
    start_many_times(start, 50)


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_of_starts_at_the_same_moment_one_has_the_window(start):
    data = Paths.for_user().data
    for _ in range(5):
        together = [start() for _ in range(3)]
        deadline = time.monotonic() + PATIENCE
        while sum(process.poll() is None for process in together) > 1:
            assert time.monotonic() < deadline, "two windows"
            time.sleep(0.05)
        (alone,) = [process for process in together if process.poll() is None]
        assert [process.returncode for process in together if process is not alone] == [0, 0]
        wait_for_window(data)
        alone.kill()
        alone.wait()
