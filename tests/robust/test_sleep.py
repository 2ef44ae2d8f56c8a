"""A computer that sleeps: every process of the program stops at once, for as long as it pleases."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from localllm.core.engine_limits import remember_crash
from localllm.core.hardware import probe
from localllm.paths import Paths
from tests.core.downloads.conftest import setting  # noqa: F401
from tests.core.downloads.test_torture import command_of, counting

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
AWAKE = 15  # seconds after which a download must move again


@pytest.fixture
def begin():
    """Start a program with all that it starts as one group."""
    began = []

    def begin(command, **more):
        program = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, text=True, **more)
        began.append(program)
        return program

    yield begin
    for program in began:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        program.stdout.close()


def sleep(program, seconds):
    os.killpg(program.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.killpg(program.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "seconds", [1, pytest.param(40, marks=[pytest.mark.torture, pytest.mark.timeout(300)])]
)
def test_a_download_goes_on_after_sleep(setting, tmp_path, begin, seconds):  # noqa: F811
    setting.server.rate = 2**20
    sent, size = counting(setting.server), len(setting.content)
    sha256 = hashlib.sha256(setting.content).hexdigest()
    program = begin(command_of(setting, tmp_path / "user", size, sha256))
    assert program.stdout.readline() == "begun\n"
    while sum(sent) < size // 4:
        assert program.poll() is None
        time.sleep(0.01)
    sleep(program, seconds)
    awake, before = time.monotonic(), sum(sent)
    setting.server.rate = None
    while sum(sent) == before and program.poll() is None:
        time.sleep(0.01)
    print(f"moved again {time.monotonic() - awake:.2f} s after {seconds} s of sleep")
    assert program.stdout.readline() == "done\n"
    assert hashlib.sha256((tmp_path / "user" / "models" / "m.gguf").read_bytes()).hexdigest() == sha256


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [5, 45])
def test_an_answer_goes_on_after_sleep(starter, begin, seconds):
    paths = Paths.for_user()
    remember_crash(paths.engine_limits_file, probe(paths.models))
    # one thread: two that wait for each other would crawl on a busy computer
    command = [sys.executable, "-m", "localllm", "chat", str(starter)]
    command += ["-t", "1", "-n", "30", "--seed", "1", "-p"]
    words = "Tell me a long story about the sea."
    told = subprocess.run([*command, words], capture_output=True, text=True, check=True).stdout
    program = begin([*command, words])
    first = program.stdout.read(5)
    sleep(program, seconds)
    rest, _ = program.communicate()
    assert program.returncode == 0
    assert first + rest == told
