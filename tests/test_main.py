"""What the arguments of the program mean, also when it is frozen: window, command line, or a child of itself."""

import os
import runpy
import sys

import pytest

from localllm import __main__ as program
from localllm.processes import python_arguments, run_child


@pytest.fixture
def asked(monkeypatch):
    """Who is asked, and with what."""
    seen = []
    monkeypatch.setattr(
        "localllm.ui.app.run_window", lambda _paths, _settings, files: seen.append(("window", files)) or 0
    )
    monkeypatch.setattr("localllm.cli.main.run", lambda arguments: seen.append(("cli", arguments)) or 0)
    monkeypatch.setattr(program, "has_display", lambda: True)
    return seen


def start(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["localllm", *arguments])
    return program.main()


def test_files_of_models_open_the_window_with_them(asked, monkeypatch, tmp_path):
    start(monkeypatch)
    start(monkeypatch, str(tmp_path / "a.gguf"), "b.GGUF")
    start(monkeypatch, "chat", "b.gguf")
    start(monkeypatch, "-x.gguf")
    start(monkeypatch, "")
    names = [[str(file) for file in said] if who == "window" else said for who, said in asked]
    assert [who for who, _said in asked] == ["window", "window", "cli", "cli", "cli"]
    assert names == [[], [str(tmp_path / "a.gguf"), "b.GGUF"], ["chat", "b.gguf"], ["-x.gguf"], [""]]


def test_without_a_display_a_file_is_chatted_with(asked, monkeypatch):
    monkeypatch.setattr(program, "has_display", lambda: False)
    start(monkeypatch, "a.gguf")
    start(monkeypatch)
    assert asked == [("cli", ["chat", "a.gguf"]), ("cli", [])]


def test_a_frozen_program_starts_its_children_through_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "localllm"))
    assert python_arguments("localllm.engine.child", "x") == [
        str(tmp_path / "localllm"), "--child", "localllm.engine.child", "x",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "executable", str(tmp_path / "localllmw.exe"))
    assert python_arguments("localllm.engine.child")[0].endswith("localllmw.exe")
    (tmp_path / "localllm.exe").touch()
    assert python_arguments("localllm.engine.child")[0] == str(tmp_path / "localllm.exe")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bundle's loader does so on Linux")
@pytest.mark.parametrize("original", [None, "/opt/lib"])
def test_programs_started_from_a_bundle_find_the_systems_libraries(asked, monkeypatch, original):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/bundle/_internal")
    monkeypatch.delenv("LD_LIBRARY_PATH_ORIG", raising=False)
    if original:
        monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", original)
    start(monkeypatch, "--version")
    assert os.environ.get("LD_LIBRARY_PATH") == original
    assert "LD_LIBRARY_PATH_ORIG" not in os.environ


def test_a_child_is_a_module_of_ours_with_its_arguments(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(runpy, "run_module", lambda name, **_how: seen.append((name, sys.argv)))
    start(monkeypatch, "--child", "localllm.engine.child", "--without", "vulkan")
    assert seen == [("localllm.engine.child", ["localllm.engine.child", "--without", "vulkan"])]


@pytest.mark.parametrize("arguments", [[], ["http.server"], ["localllm"], ["localllmx.y"], [""]])
def test_nothing_else_is_run(arguments):
    with pytest.raises(ValueError, match="not a child of LocalLLM"):
        run_child(arguments)
