"""Which programs still run: one that has ended and was not waited for does not."""

import os
import subprocess
import sys

import psutil
import pytest

from localllm.core.running import holder_of, is_alive, name_of_this_program, runs

_SAY_AND_WAIT = (
    "import sys; from localllm.core.running import name_of_this_program as name;"
    "print(name(), flush=True); sys.stdin.read()"
)


@pytest.fixture
def other():
    """Another program that waits, and the name that it has given itself."""
    program = subprocess.Popen(
        [sys.executable, "-c", _SAY_AND_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield program, program.stdout.readline().strip()
    program.communicate()


def wait_for_end(program):
    """Wait until a program has ended, and leave it to be waited for."""
    if sys.platform == "win32":
        program.wait()
    else:
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)


def test_a_program_that_was_killed_and_not_waited_for_has_ended(other):
    program, name = other
    assert is_alive(name)
    assert runs(program.pid)
    program.kill()
    wait_for_end(program)
    assert psutil.pid_exists(program.pid) or sys.platform == "win32"
    assert not is_alive(name)
    assert not runs(program.pid)


def test_a_number_that_is_used_again_is_another_program(other):
    program, name = other
    assert name_of_this_program() != name
    assert not is_alive(f"{program.pid} 1.00")


@pytest.mark.parametrize("name", ["", "x 1.00", "-1 1.00", f"{10**30} 1.00"])
def test_a_name_that_is_none_is_nobody(name):
    assert not is_alive(name)


def test_the_holder_of_a_lock_is_read(tmp_path):
    lock = tmp_path / "window.lock"
    lock.write_bytes(b"123\npython\n\xff")
    assert holder_of(lock) == 123
    lock.write_text("")
    assert holder_of(lock) is None
    with pytest.raises(FileNotFoundError):
        holder_of(tmp_path / "none")
