import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from localllm.cli.main import run
from tests import gguf_files

STATS = {"prompt_tokens", "prompt_ms", "completion_tokens", "completion_ms", "ttft_ms", "load_ms"} | {
    "stop_reason", "model", "threads",
}  # fmt: skip
BERLIN = "What is the capital of Germany?"
FAST = ["-c", "512", "-t", "1", "--temp", "0", "-n", "30"]


@pytest.fixture(autouse=True)
def plain_layout(home):
    """AMX crashes on some machines; tests/core/test_session.py has the way round it."""
    limits = home / "data" / "engine-limits.json"
    limits.parent.mkdir(parents=True)
    limits.write_text('{"extra_buffers": false}')


def program(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "localllm", *arguments], capture_output=True, text=True, check=False, **options
    )


def test_prints_only_the_answer(capsys):
    assert run(["chat", "-p", BERLIN, *FAST]) == 0
    assert capsys.readouterr().out == "The capital of Germany is Berlin.\n"


def test_json_is_one_object_with_text_and_stats_and_a_path_works_as_model(capsys, starter):
    assert run(["chat", str(starter), "-p", BERLIN, "--json", *FAST]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] == "The capital of Germany is Berlin."
    assert set(answer["stats"]) >= STATS
    assert answer["stats"]["stop_reason"] == "end"
    assert answer["stats"]["threads"] == 1


def test_a_piped_prompt_is_answered():
    done = program("chat", *FAST, input=BERLIN)
    assert (done.returncode, done.stdout) == (0, "The capital of Germany is Berlin.\n")


def test_a_console_of_another_code_page_does_not_end_an_answer():
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(
        [sys.executable, "-m", "localllm", "chat", "-p", "日本語 ¿qué?", "--system", "日本", *FAST, "-n", "5"],
        capture_output=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.decode("utf-8").strip()


def test_sampling_flags_reach_the_engine(capsys):
    run(
        [
            "chat",
            "-p",
            BERLIN,
            "--json",
            "-c",
            "512",
            "-t",
            "1",
            "-n",
            "3",
            "--seed",
            "5",
            "--stop",
            "capital",
        ]
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["stats"]["seed"] == 5
    assert answer["stats"]["completion_tokens"] <= 3


def test_a_model_is_used_with_its_load_profile_and_marked_as_used(capsys, starter):
    flags = ["-c", "512", "-t", "1", "--temp", "0", "-n", "2"]
    profile = ["models", "profile", "save", str(starter), "short", *flags]
    assert run([*profile, "--default"]) == 0
    capsys.readouterr()
    chat = ["chat", str(starter), "-p", BERLIN, "--json"]
    began = time.time()
    assert run(chat) == 0
    answer, said = capsys.readouterr()
    stats = json.loads(answer)["stats"]
    assert (stats["completion_tokens"], stats["threads"], stats["stop_reason"]) == (2, 1, "length")
    assert "“short”" in said
    assert run([*chat, "-n", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["stats"]["completion_tokens"] == 3
    assert run(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["last_used"] >= began
    assert run([*chat, "--profile", "long"]) == 1
    assert "has no load profile “long”" in capsys.readouterr().err


BAD = {
    "missing": (lambda folder: folder / "none.gguf", "There is no file"),
    "no model": (lambda folder: gguf_files.write(folder / "x.gguf", b"x" * 100), "is not a usable model"),
    "unknown architecture": (lambda folder: gguf_files.unknown_architecture(folder / "x.gguf"), "nonesuch"),
    "unknown name": (lambda _folder: "nosuchmodel", "No model is called"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_error_is_one_line_and_exit_1(tmp_path, name, capsys):
    make, reason = BAD[name]
    assert run(["chat", str(make(tmp_path)), "-p", "x"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert reason in err
    assert len(err.strip().splitlines()) == 1


def test_errors_are_in_spanish_too(monkeypatch, capsys):
    monkeypatch.setenv("LANG", "es_ES.UTF-8")
    assert run(["chat", "nosuchmodel", "-p", "x"]) == 1
    assert "Ningún modelo" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"], ["chat", "--temp", "hot"], ["chat", "--top-p", "2"], ["chat", "-c", "-1"], ["models", "--bogus"],
        ["chat", "-c", "20"], ["chat", "-t", "100000"], ["chat", "-s", "99999999999999999999"], ["chat", "-n", "-7"],
        ["chat", "--presence-penalty", "nan"], ["chat", "-ngl", "99999999999"],
    ],
)  # fmt: skip
def test_wrong_arguments_show_the_usage_and_exit_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_json_without_a_prompt(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert run(["chat", "--json"]) == 1
    assert "needs a prompt" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["-p", ""], ["-p", "  "]])
def test_an_empty_prompt_is_said(arguments):
    done = program("chat", *arguments, input="")
    assert done.returncode == 1
    assert "The prompt is empty." in done.stderr


def test_models_as_json(capsys, starter):
    assert run(["models", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert model["name"] == "SmolLM2-135M-Instruct"
    assert (model["path"], model["size"], model["starter"]) == (str(starter), 98_362_432, True)


def test_a_closed_pipe_is_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m localllm models --json | true",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


def read_until(terminal, wanted, seconds=60):
    seen, deadline = "", time.monotonic() + seconds
    while wanted not in seen and time.monotonic() < deadline:
        try:
            seen += os.read(terminal, 4096).decode("utf-8", "replace")
        except OSError:
            break
    return seen


@pytest.fixture
def conversation():
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "localllm", "chat", "-c", "512", "-t", "1", "--temp", "0"],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    yield ours, child
    child.kill()
    child.wait()
    os.close(ours)


def test_a_conversation_in_the_terminal(conversation):
    terminal, child = conversation
    assert "is ready" in read_until(terminal, "> ")
    os.write(terminal, (BERLIN + "\n").encode())
    assert "Berlin" in read_until(terminal, "tokens/s")
    os.write(terminal, b"Write a very long story about a king and his three sons.\n")
    read_until(terminal, "king")
    read_until(terminal, " ")
    child.send_signal(signal.SIGINT)
    read_until(terminal, "> ")
    os.write(terminal, b"\x04")
    child.wait(30)
    assert child.returncode == 0
