"""What pip does, shown and explained; pip is a scripted stand-in."""

import os
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localllm.bootstrap import packages
from localllm.bootstrap.engine_install import BuildProgress
from localllm.bootstrap.folder_lock import FolderLock
from localllm.bootstrap.messages import SetupFailed
from localllm.bootstrap.packages import Pip, describe_line
from localllm.bootstrap.show import Display, clock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for pip is a shell script")
MakePip = Callable[[str], Pip]


@pytest.fixture
def make_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePip]:
    """Return a Pip whose Python is this shell script."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    folder = tmp_path / "checkout" / ".venv"
    folder.mkdir(parents=True)
    with FolderLock(folder / "lock", lambda _seconds: None) as lock:

        def make(script: str) -> Pip:
            python = folder / "python"
            python.write_text("#!/bin/sh\n" + script)
            python.chmod(0o755)
            return Pip(python, folder / "log", Display(), lock)

        yield make


FAILURES = [
    (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions",
        packages.WRONG_CHECKSUM,
    ),
    (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        packages.DISK_FULL,
    ),
    ("OSError: [Errno 122] Disk quota exceeded: '/home/x/.cache/pip'", packages.DISK_FULL),
    (
        "WARNING: Retrying (Retry(total=2)) after connection broken by 'NameResolutionError(\"Failed to resolve\")': /simple/x/",
        packages.NO_NETWORK,
    ),
    ("ERROR: HTTP error 503 Server Error: Service Unavailable for url: x", packages.NO_NETWORK),
    ("ProxyError('Cannot connect to proxy.', ConnectionRefusedError(111))", packages.NO_NETWORK),
    (
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self-signed'))",
        packages.NO_TRUST,
    ),
    ("ERROR: No matching distribution found for pyside6-essentials==6.11.3", packages.NO_PACKAGE),
    ("c++: fatal error: Killed signal terminated program cc1plus", packages.NO_MEMORY),
    (
        "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'",
        packages.NOT_WRITABLE,
    ),
    ("error: something nobody has seen before", packages.OTHER),
]


@pytest.mark.parametrize(("line", "sentence"), FAILURES)
def test_failures_are_explained_in_one_sentence(make_pip: MakePip, line: str, sentence: str) -> None:
    pip = make_pip(f"cat <<'END'\nCollecting x\n{line}\nERROR: pip's last word\nEND\nexit 1\n")
    with pytest.raises(SetupFailed) as caught:
        pip.install("x")
    assert str(caught.value).startswith(sentence.split("{", maxsplit=1)[0])
    assert "{" not in str(caught.value)
    assert not caught.value.changed


def test_no_network_is_not_taken_for_a_missing_package(make_pip: MakePip) -> None:
    pip = make_pip("echo NewConnectionError; echo 'ERROR: No matching distribution found for x'; exit 1\n")
    with pytest.raises(SetupFailed, match="cannot be reached"):
        pip.install("x")


def test_failure_while_writing_files_is_marked(make_pip: MakePip) -> None:
    pip = make_pip("echo 'Installing collected packages: x'; echo 'error: odd'; exit 1\n")
    with pytest.raises(SetupFailed) as caught:
        pip.install("x")
    assert caught.value.changed


def test_pip_cannot_eat_standard_input_and_its_output_is_kept(make_pip: MakePip) -> None:
    pip = make_pip('read -r line && exit 9\necho "$@"; echo "$TMPDIR"; echo "$EXTRA"\n')
    pip.install("--require-hashes", "x", environment={"EXTRA": "extra"})
    arguments, temporary, extra = pip.log.read_text().splitlines()
    assert arguments.startswith("-m pip install")
    assert arguments.endswith("--require-hashes x")
    assert temporary == str(pip.log.parent / "tmp")
    assert extra == "extra"


def test_an_interrupt_ends_pip_and_what_it_started(make_pip: MakePip, tmp_path: Path) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    pip = make_pip(f"sh -c 'echo building; exec sleep 60' 2> {fifo} &\nwait\n")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def interrupt(line: str) -> str:
        if line == "building":
            raise KeyboardInterrupt
        return line

    with pytest.raises(KeyboardInterrupt):
        pip.install("x", describe=interrupt)
    assert select.select([reader], [], [], 10.0)[0]  # the last writer is gone
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Collecting rich==15.0.0 (from -r run.txt (line 1))", "rich"),
        (
            "Downloading pyside6_essentials-6.11.3-cp310-abi3-manylinux_2_34_x86_64.whl (77 MB)",
            "pyside6_essentials",
        ),
        ("Processing /somewhere/numpy-2.4.6-cp311.whl", "numpy"),
        ("Installing collected packages: a, b", "writing files"),
        ("WARNING: something", ""),
    ],
)
def test_pips_lines_become_what_is_shown(monkeypatch: pytest.MonkeyPatch, line: str, shown: str) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert describe_line(line) == shown


def test_build_progress_names_file_share_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    progress = BuildProgress()
    assert progress.describe("*** Configuring CMake...").startswith(
        "building from source; on this computer about "
    )
    line = (
        "[97/193] /usr/bin/c++ -DX=1 -O3 -o ggml/CMakeFiles/ops.cpp.o -c /tmp/a b/llama.cpp/ggml/src/ops.cpp"
    )
    shown = progress.describe(line.replace("a b", "a-b"))
    assert shown.startswith("compiled 97 of 193 (ops.cpp), about ")
    assert progress.describe("   note: a warning in between") == shown
    assert progress.describe(
        "[98/193] Building CXX object src/CMakeFiles/llama.dir/unicode.cpp.o"
    ).startswith("compiled 98 of 193 (unicode.cpp.o)")
    assert progress.describe("[193/193] Linking CXX shared library bin/libllama.so").startswith(
        "compiled 193 of 193 (libllama.so), about 0:00"
    )
    assert progress.describe("*** Making wheel...") == "putting it together"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (67.9, "1:07"), (3723, "1:02:03")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
