"""Real tools: one that sleeps, one that floods, one that fails, one that is missing."""

import os
import sys
import time

import pytest

from localllm.core.hardware.sources import ToolFailed
from localllm.core.hardware.system import MAX_OUTPUT, RunningSystem


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_tools_output_is_returned() -> None:
    assert RunningSystem().run(python("print('seen')"), 20.0) == "seen\n"


def test_a_tool_that_sleeps_is_ended_at_its_deadline() -> None:
    start = time.monotonic()
    with pytest.raises(ToolFailed) as failure:
        RunningSystem().run(["sleep", "30"], 0.3)
    assert time.monotonic() - start < 5
    assert failure.value.slow


@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")
def test_the_children_of_a_tool_are_ended_with_it() -> None:
    start = time.monotonic()
    with pytest.raises(ToolFailed):
        RunningSystem().run(["sh", "-c", "sleep 30 & sleep 30"], 0.3)  # the first one keeps the pipe open
    assert time.monotonic() - start < 5


def test_a_tool_that_floods_is_stopped() -> None:
    start = time.monotonic()
    with pytest.raises(ToolFailed, match=f"more than {MAX_OUTPUT} bytes"):
        RunningSystem().run(python("while True: print('x' * 100_000)"), 20.0)
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(
    "command", [["no-such-tool-anywhere"], [sys.executable, "-c", "raise SystemExit(3)"]]
)
def test_a_tool_that_is_missing_or_fails_silently_is_a_failure(command: list[str]) -> None:
    with pytest.raises(ToolFailed):
        RunningSystem().run(command, 20.0)


def test_the_message_of_a_tool_that_fails_is_kept() -> None:
    assert RunningSystem().run(python("print('mismatch'); raise SystemExit(18)"), 20.0) == "mismatch\n"


def test_what_cannot_be_read_is_none() -> None:
    system = RunningSystem()
    assert system.read_text("/no/such/file") is None
    assert system.read_text("/") is None
    assert system.read_text("bad\0name") is None
    assert system.list_folder("/no/such/folder") == []
    assert system.disk("/no/such/folder") is None
    assert system.find_tool("no-such-tool-anywhere") is None


def test_the_running_system_knows_its_processors() -> None:
    system = RunningSystem()
    physical, logical = system.core_counts()
    assert 1 <= physical <= logical == os.cpu_count()
    memory = system.memory()
    assert 0 < memory.available <= memory.total
