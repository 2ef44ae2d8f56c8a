"""Every start: whole or not, and what is handed over."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localllm.__main__ import has_display
from localllm.bootstrap import start
from tests.bootstrap.conftest import put_python, put_stamp

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(bare_checkout: Path) -> Path:
    """A checkout whose environment's Python prints how it was called."""
    put_python(bare_checkout, 'printf "%s|" "$@"\ncat\nexit 7')
    return bare_checkout


def test_no_stamp_is_not_whole(checkout: Path) -> None:
    assert not start.is_whole(str(checkout), ["run"])


def test_stamp_of_these_locks_is_whole(checkout: Path) -> None:
    put_stamp(checkout, "run")
    assert start.is_whole(str(checkout), ["run"])
    assert not start.is_whole(str(checkout), ["run", "dev"])
    put_stamp(checkout, "run", "dev")
    assert start.is_whole(str(checkout), ["run", "dev"])


def test_renewed_lock_is_not_whole(checkout: Path) -> None:
    put_stamp(checkout, "run", "dev")
    (checkout / "packaging" / "lock" / "engine.txt").write_text("engine==2\n")
    assert not start.is_whole(str(checkout), ["run"])
    assert start.is_whole(str(checkout), ["dev"])


def test_lock_with_windows_line_ends_is_the_same(checkout: Path) -> None:
    put_stamp(checkout, "run")
    (checkout / "packaging" / "lock" / "run.txt").write_bytes(b"run==1\r\n")
    assert start.is_whole(str(checkout), ["run"])


def test_moved_checkout_is_not_whole(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    put_stamp(checkout, "run")
    moved = tmp_path_factory.mktemp("other") / "moved"
    checkout.rename(moved)
    assert not start.is_whole(str(moved), ["run"])


def test_python_that_is_gone_is_not_whole(checkout: Path) -> None:
    put_stamp(checkout, "run")
    python = Path(start.python_path(str(checkout)))
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert not start.is_whole(str(checkout), ["run"])


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00", b"run 0 0 0 0\n"])
def test_damaged_stamp_is_not_whole(checkout: Path, damage: bytes) -> None:
    Path(start.stamp_path(str(checkout))).write_bytes(damage)
    assert not start.is_whole(str(checkout), ["run"])


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")
def test_arguments_input_and_status_are_passed_on(checkout: Path) -> None:
    put_stamp(checkout, "run")
    program = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        f"from localllm.bootstrap.start import start; sys.exit(start({str(checkout)!r}, ['chat', '-p', 'a b']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input="prompt", capture_output=True, text=True, check=False
    )
    assert done.stdout == "-P|-m|localllm|chat|-p|a b|prompt"
    assert (done.returncode, done.stderr) == (7, "")


def test_a_later_start_imports_next_to_nothing() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); before = set(sys.modules)\n"
        "import localllm.bootstrap.start, json as j\n"
        "print(j.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"pathlib", "subprocess", "urllib.request", "re", "typing", "ctypes", "dataclasses"}
    loaded = {name for name in json.loads(done.stdout) if not name.startswith(("json", "re", "enum"))}
    assert not heavy & loaded


def test_set_up_needs_the_standard_library_only() -> None:
    program = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import localllm.bootstrap.environment"
    subprocess.run([sys.executable, "-S", "-E", "-c", program], check=True)


def test_main_compiles_on_old_pythons() -> None:
    ast.parse((CHECKOUT / "main.py").read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize(
    ("language", "words"), [("en_US.UTF-8", "needs Python 3.11"), ("es_MX.UTF-8", "necesita Python 3.11")]
)
def test_old_python_is_told_in_one_sentence(language: str, words: str) -> None:
    program = (
        "import runpy, sys; sys.version_info = (3, 9, 2); sys.argv = ['main.py']\n"
        f"runpy.run_path({str(CHECKOUT / 'main.py')!r}, run_name='__main__')"
    )
    environment = {**os.environ, "LC_ALL": language, "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "3.9" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ([], {"DISPLAY": ":0"}, True),
        ([], {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ([], {"QT_QPA_PLATFORM": "offscreen"}, True),
        ([], {"QT_QPA_PLATFORM": "", "DISPLAY": ""}, False),
        ([], {}, False),
        (["hardware", "--json"], {"DISPLAY": ":0"}, False),
        (["a.gguf", "b.GGUF"], {"DISPLAY": ":0"}, True),
        (["a.gguf"], {}, False),
        (["chat", "a.gguf"], {"DISPLAY": ":0"}, False),
        (["--lora=a.gguf"], {"DISPLAY": ":0"}, False),
        (["hardware", "--json"], {"QT_QPA_PLATFORM": "xcb"}, False),
    ],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a screen")
def test_only_the_window_needs_the_window_part(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variables: dict[str, str], expected: bool
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert start.opens_window(arguments) is expected
    if not arguments:
        assert has_display() is expected


@pytest.mark.parametrize(
    ("platform", "part"),
    [
        ("", "window"),
        ("xcb", "window"),
        ("wayland;xcb", "window"),
        ("offscreen", "offscreen"),
        ("minimal", "offscreen"),
    ],
)
def test_a_window_on_no_screen_needs_another_part(
    monkeypatch: pytest.MonkeyPatch, platform: str, part: str
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", platform)
    assert start.window_part() == part
