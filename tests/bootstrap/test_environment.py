"""Set-up that is interrupted, repeated, moved or run twice at once; the steps are small stand-ins."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from localllm.bootstrap import environment, start
from localllm.bootstrap.environment import Step, make, set_up
from localllm.bootstrap.messages import SetupFailed
from localllm.bootstrap.packages import Pip
from localllm.bootstrap.show import Display
from tests.bootstrap.conftest import put_python, put_stamp

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")
ROOT = Path(__file__).resolve().parents[2]


class Steps:
    """Makes the stand-in for an environment; takes note of what was run; fails in the part that it is told."""

    def __init__(self, failing: str = "", failure: BaseException | None = None) -> None:
        self.ran: list[str] = []
        self._failing = failing
        self._failure = failure or SetupFailed("no network")

    def __call__(self, checkout: Path, _pip: Pip, part: str) -> list[Step]:
        def run() -> None:
            self.ran.append(part)
            if not Path(start.python_path(str(checkout))).exists():
                put_python(checkout)
            if part == self._failing:
                raise self._failure

        return [Step(part, run)]


def make_parts(checkout: Path, *parts: str, steps: Steps | None = None) -> list[str]:
    steps = steps or Steps()
    make(checkout, parts, Display(), steps)
    return steps.ran


def is_whole(checkout: Path, *parts: str) -> bool:
    return start.is_whole(str(checkout), list(parts))


def test_a_fresh_checkout_gets_an_environment_once(bare_checkout: Path) -> None:
    assert make_parts(bare_checkout, "run") == ["run"]
    assert is_whole(bare_checkout, "run")
    assert make_parts(bare_checkout, "run") == []


def test_a_further_part_leaves_the_others_alone(bare_checkout: Path) -> None:
    make_parts(bare_checkout, "run")
    assert make_parts(bare_checkout, "run", "dev") == ["dev"]
    assert is_whole(bare_checkout, "run", "dev")
    assert make_parts(bare_checkout, "run", "window") == ["window"]
    assert is_whole(bare_checkout, "run", "dev", "window")


def test_a_half_made_environment_is_made_anew(bare_checkout: Path) -> None:
    with pytest.raises(SetupFailed):
        make_parts(bare_checkout, "run", steps=Steps("run"))
    half_written = bare_checkout / ".venv" / "lib" / "half-written"
    half_written.mkdir(parents=True)
    assert not is_whole(bare_checkout, "run")
    assert make_parts(bare_checkout, "run") == ["run"]
    assert is_whole(bare_checkout, "run")
    assert not half_written.exists()


def test_kill_half_way_is_repaired_by_the_next_start(bare_checkout: Path) -> None:
    make_parts(bare_checkout, "run")
    program = (
        f"import os, signal, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from localllm.bootstrap.environment import Step, make\n"
        "from localllm.bootstrap.show import Display\n"
        "die = lambda *_: [Step('x', lambda: os.kill(os.getpid(), signal.SIGKILL))]\n"
        f"make(Path({str(bare_checkout)!r}), ['run', 'dev'], Display(), die)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert not is_whole(bare_checkout, "run")
    assert make_parts(bare_checkout, "run") == ["run"]
    assert is_whole(bare_checkout, "run")


def test_a_further_part_that_fails_early_leaves_the_rest_usable(bare_checkout: Path) -> None:
    make_parts(bare_checkout, "run")
    with pytest.raises(SetupFailed):
        make_parts(bare_checkout, "run", "dev", steps=Steps("dev"))
    assert is_whole(bare_checkout, "run")
    assert not is_whole(bare_checkout, "dev")


def test_a_further_part_that_fails_while_writing_makes_all_anew(bare_checkout: Path) -> None:
    make_parts(bare_checkout, "run")
    with pytest.raises(SetupFailed):
        make_parts(bare_checkout, "run", "dev", steps=Steps("dev", SetupFailed("disk full", changed=True)))
    assert not is_whole(bare_checkout, "run")
    assert make_parts(bare_checkout, "run", "dev") == ["run", "dev"]


def test_renewed_locks_are_brought_in_without_starting_over(bare_checkout: Path) -> None:
    make_parts(bare_checkout, "run", "dev")
    kept = bare_checkout / ".venv" / "kept"
    kept.touch()
    (bare_checkout / "packaging" / "lock" / "run.txt").write_text("run==2\n")
    assert make_parts(bare_checkout, "run") == ["run"]
    assert kept.exists()
    assert is_whole(bare_checkout, "run")
    assert not is_whole(bare_checkout, "dev")  # it was locked beside the old packages


def test_a_moved_checkout_starts_over(bare_checkout: Path) -> None:
    make_parts(bare_checkout, "run")
    (bare_checkout / ".venv" / "old").touch()
    moved = bare_checkout.rename(bare_checkout.with_name("moved to here"))
    assert make_parts(moved, "run") == ["run"]
    assert not (moved / ".venv" / "old").exists()


@pytest.mark.parametrize("script", ["exit 1", ""])
def test_an_environment_whose_python_fails_starts_over(bare_checkout: Path, script: str) -> None:
    put_python(bare_checkout, script)
    put_stamp(bare_checkout, "run")
    if not script:
        Path(start.python_path(str(bare_checkout))).unlink()
    (bare_checkout / ".venv" / "old").touch()
    make_parts(bare_checkout, "run", "dev")
    assert not (bare_checkout / ".venv" / "old").exists()


def test_an_environment_that_is_a_link_is_replaced_and_its_target_untouched(bare_checkout: Path) -> None:
    elsewhere = bare_checkout.with_name("elsewhere")
    (elsewhere / "bin").mkdir(parents=True)
    (bare_checkout / ".venv").symlink_to(elsewhere)
    make_parts(bare_checkout, "run")
    assert (elsewhere / "bin").is_dir()
    assert not (bare_checkout / ".venv").is_symlink()


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (SetupFailed("The disk of the test is full."), "The disk of the test is full."),
        (KeyboardInterrupt(), "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be written"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (
            subprocess.CalledProcessError(1, ["python"], "", "Fatal: no module\n"),
            "Set-up failed: Fatal: no module.",
        ),
        (subprocess.TimeoutExpired(["python"], 3), "timed out after 3 seconds."),
    ],
)
def test_every_failure_is_one_line_and_status_1(
    bare_checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: BaseException,
    words: str,
) -> None:
    monkeypatch.setattr(environment, "steps_for", Steps("run", failure))
    assert set_up(str(bare_checkout), ["run"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert words in output.err.splitlines()[-1]
    assert "Traceback" not in output.err


def test_a_terminated_set_up_says_so(
    bare_checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def terminate(*_: object) -> list[Step]:
        return [Step("x", lambda: os.kill(os.getpid(), signal.SIGTERM))]

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(environment, "steps_for", terminate)
    assert set_up(str(bare_checkout), ["run"]) == 1
    assert "interrupted" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


def test_too_little_room_is_told_before_anything_is_downloaded(
    bare_checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_NEEDED_BYTES", 1 << 60)
    steps = Steps()
    with pytest.raises(SetupFailed, match="too little room"):
        make_parts(bare_checkout, "run", steps=steps)
    assert steps.ran == []


def test_a_second_set_up_waits_and_finds_the_work_done(
    bare_checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_python(bare_checkout)
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from localllm.bootstrap.folder_lock import FolderLock\n"
        "from tests.bootstrap.conftest import put_stamp\n"
        f"checkout = Path({str(bare_checkout)!r})\n"
        "with FolderLock(checkout / '.venv' / 'localllm-setup.lock', lambda _: None):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read(1)\n"
        "    put_stamp(checkout, 'run')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout
        assert first.stdin
        assert first.stdout.readline() == b"held\n"

        class Second(Display):
            def note(self, sentence: str) -> None:
                super().note(sentence)
                if first.stdin and not first.stdin.closed:
                    first.stdin.close()  # only now may the first one finish

        steps = Steps()
        make(bare_checkout, ["run"], Second(), steps)
        assert steps.ran == []
    assert "waiting for it" in capsys.readouterr().err


def test_a_killed_set_ups_pip_is_ended(bare_checkout: Path) -> None:
    put_python(bare_checkout, "echo Collecting; exec sleep 60")
    program = (
        f"import os, signal, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from localllm.bootstrap import start\n"
        "from localllm.bootstrap.folder_lock import FolderLock\n"
        "from localllm.bootstrap.packages import Pip\n"
        "from localllm.bootstrap.show import Display\n"
        f"checkout = Path({str(bare_checkout)!r})\n"
        "with FolderLock(checkout / '.venv' / 'localllm-setup.lock', lambda _: None) as lock:\n"
        "    pip = Pip(Path(start.python_path(str(checkout))), checkout / '.venv' / 'log', Display(), lock)\n"
        "    pip.install('x', describe=lambda line: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert make_parts(bare_checkout, "run") == ["run"]  # it would wait a minute for the orphan


def test_an_environments_python_that_fails_is_told_in_one_line(
    bare_checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def steps(checkout: Path, pip: Pip, _part: str) -> list[Step]:
        put_python(checkout, "echo 'no sysconfig here' >&2; exit 1")
        return [Step("x", lambda: environment.make_environment(checkout, pip))]

    monkeypatch.setattr(environment, "steps_for", steps)
    assert set_up(str(bare_checkout), ["run"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("Set-up failed: no sysconfig here. Start again.")


@pytest.fixture
def real_environment(tmp_path: Path) -> Callable[[str], Path]:
    def real(name: str) -> Path:
        checkout = tmp_path / name
        package = checkout / "localllm"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text("import sys\nprint(sys.argv[1:], sys.prefix)\n")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(checkout / ".venv")], check=True)
        return checkout

    return real


def test_the_command_works_from_any_folder(real_environment: Callable[[str], Path], tmp_path: Path) -> None:
    checkout = real_environment("it's a ñandú")
    python = Path(start.python_path(str(checkout)))
    environment.make_environment(checkout, Pip(python, tmp_path / "log", Display(), None))  # type: ignore[arg-type]
    shadow = tmp_path / "localllm.py"
    shadow.write_text("raise SystemExit('the wrong one')\n")
    done = subprocess.run(
        [python.with_name("localllm"), "a b"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"['a b'] {checkout / '.venv'}\n"
