"""The lock of the folder, and what becomes of a process that it names."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localllm.bootstrap.folder_lock import FolderLock, start_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there, pip does not hold the lock")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a group of its own, which has nothing to do with set-up."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def wait_once(file: Path, names: str) -> None:
    """Take the lock after having waited for a holder that left these names."""
    holder = FolderLock(file, lambda _: None)
    holder.__enter__()
    file.write_text(names)

    def free(waited: float) -> None:
        if waited > 0:  # the names were seen to
            holder.__exit__(None, None, None)

    with FolderLock(file, free):
        pass


def test_names_go_with_the_set_up(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    file = tmp_path / "lock"
    file.write_text("left by one that was killed")
    with FolderLock(file, lambda _: None) as lock:
        assert file.read_text() == ""
        lock.name_child(sleeper.pid)
        assert str(sleeper.pid) in file.read_text()
    assert file.read_text() == ""


def test_the_orphan_of_a_dead_set_up_is_ended(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], dead_pid: int
) -> None:
    wait_once(tmp_path / "lock", f"{dead_pid} {sleeper.pid} {start_of(sleeper.pid)}")
    assert sleeper.wait(30) == -signal.SIGTERM


def test_the_child_of_a_live_set_up_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    with FolderLock(tmp_path / "names", lambda _: None) as lock:
        lock.name_child(sleeper.pid)
        names = (tmp_path / "names").read_text()
    wait_once(tmp_path / "lock", names)
    assert is_untouched(sleeper)


@pytest.mark.parametrize("start", ["", " 1", " Thu Jan  1 00:00:00 1970"])
def test_another_process_with_the_orphans_number_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], dead_pid: int, start: str
) -> None:
    wait_once(tmp_path / "lock", f"{dead_pid} {sleeper.pid}{start}")
    assert is_untouched(sleeper)


@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
def test_the_start_tells_processes_apart(
    monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes], dead_pid: int, platform: str
) -> None:
    if platform == "darwin" and not Path("/bin/ps").exists():
        pytest.skip("there is no ps")
    monkeypatch.setattr(sys, "platform", platform)
    assert start_of(sleeper.pid)
    assert start_of(sleeper.pid) == start_of(sleeper.pid)
    assert start_of(1) != start_of(sleeper.pid)
    assert start_of(dead_pid) == ""


def is_untouched(process: subprocess.Popen[bytes]) -> bool:
    """Whether our own signal, sent last, is the one that ends it (one that waits with SIGTERM comes after it)."""
    process.send_signal(signal.SIGVTALRM)
    return process.wait(30) == -signal.SIGVTALRM
