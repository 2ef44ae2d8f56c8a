import argparse
import io
import json
import re
import string
from pathlib import Path

import pytest

from localllm.cli import recommend as command
from localllm.cli.output import Context, Output
from localllm.core.machine import Machine
from localllm.errors import LocalLLMError, UsageError
from localllm.paths import Paths, resources_folder
from localllm.settings import Settings
from localllm.texts import Translator
from tests.core import machines

PARTS = ("weights", "kv", "compute", "output", "overhead")


def run(*arguments, language="en", catalogue=None):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["recommend", *arguments])
    context = Context(Paths.for_user(), Settings(), Output(Translator(language, catalogue)))
    return parsed.run(parsed, context)


@pytest.fixture
def machine_file(tmp_path):
    def write(machine):
        path = tmp_path / "machine.json"
        path.write_text(json.dumps(machine.to_json()))
        return str(path)

    return write


def answer(capsys, *arguments):
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_json_has_every_field(machine_file, capsys):
    found = answer(capsys, "--machine", machine_file(machines.RTX_4060))
    assert found["use"] == "chat"
    assert found["context_length"] == 8192
    for choice in (found["fast"], found["balanced"], found["best"], *found["ranked"]):
        memory = choice["memory"]
        assert memory["total"] == sum(memory[part] for part in PARTS)
        assert all(isinstance(memory[part], int) for part in PARTS)
        assert choice["certainty"] == "formula"
        assert choice["verdict"] in command.VERDICTS
        speed = choice["speed"]
        assert speed["low"] < speed["tokens_per_second"] < speed["high"]
        assert speed["basis"] == "table"
        assert choice["placement"]["kind"] in ("gpu", "partly_gpu", "experts_on_cpu", "cpu")
        assert choice["settings"]["flash_attention"] is True
        assert choice["settings"]["outputs_max"] == 1
        assert 0 <= choice["quality"]["score"] <= 100
        assert choice["quality"]["source"]
        assert choice["model"]["license"]
        assert choice["reason"].endswith(".")
        assert choice["size"] > 0
    assert "{" not in json.dumps([choice["reason"] for choice in found["ranked"]])


def test_a_use_and_a_context(machine_file, capsys):
    found = answer(
        capsys, "--machine", machine_file(machines.RTX_4090), "--use", "code", "--context", "32768"
    )
    assert (found["use"], found["context_length"]) == ("code", 32768)
    assert found["best"]["settings"]["context_length"] == 32768


def test_a_computer_from_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(machines.M1.to_json())))
    assert answer(capsys, "--machine", "-")["best"]["placement"]["kind"] == "unified"


def test_three_picks_and_a_table(machine_file, capsys):
    assert run("--machine", machine_file(machines.REFERENCE)) == 0
    printed = capsys.readouterr()
    for title in ("Best: ", "Balanced: ", "Fast: "):
        assert printed.out.count(title) == 1
    lines = [line for line in printed.out.splitlines() if re.search(r"GiB|MiB", line)]
    assert len(lines) <= 3 * 3 + command.ROWS
    assert printed.out.count("estimated from tables") == 3
    assert "more with --all" in printed.err
    assert run("--machine", machine_file(machines.REFERENCE), "--all") == 0
    every = capsys.readouterr()
    assert "does not fit" in every.out
    assert every.err == ""


def test_nothing_fits(machine_file, capsys):
    tiny = Machine("Linux", machines.cpu(1, ()), machines.memory(0.2, 0.1), memory_bandwidth=1e9)
    assert run("--machine", machine_file(tiny)) == 0
    assert "No model of the catalogue" in capsys.readouterr().out
    assert answer(capsys, "--machine", machine_file(tiny))["best"] is None


def test_this_computer(monkeypatch, capsys):
    monkeypatch.setattr(command, "this_machine", lambda context: machines.REFERENCE)
    assert answer(capsys)["best"]["placement"]["kind"] == "cpu"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"system": 3}'])
def test_not_the_description_of_a_computer(tmp_path, content):
    path = tmp_path / "machine.json"
    path.write_text(content)
    with pytest.raises(UsageError):
        run("--machine", str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LocalLLMError):
        run("--machine", str(tmp_path / "nothing.json"))


@pytest.mark.parametrize("arguments", [["--use", "poetry"], ["--context", "many"], ["--unknown"]])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("context", ["0", "-5", "255", "99999999"])
def test_a_context_that_makes_no_sense(machine_file, context):
    with pytest.raises(UsageError):
        run("--machine", machine_file(machines.REFERENCE), f"--context={context}")


def spanish():
    return json.loads((resources_folder() / "i18n" / "es.json").read_text(encoding="utf-8"))


def sentences():
    root = Path(command.__file__).parents[1]
    files = [
        root / "cli/recommend.py",
        *(root / "core" / f"{name}.py" for name in ("catalogue", "quality", "quants", "recommend")),
    ]
    for path in files:
        source = path.read_text(encoding="utf-8")
        yield from re.findall(r"\btext\(\s*\"((?:[^\"\\]|\\.)*)\"", source)
        yield from re.findall(r"^_[A-Z]+ = \"((?:[^\"\\]|\\.)*)\"", source, re.MULTILINE)


def test_every_sentence_has_its_spanish():
    known = spanish()
    found = set(sentences())
    assert len(found) >= 25
    for sentence in found:
        gaps = sorted(name for _, name, _, _ in string.Formatter().parse(sentence) if name)
        if re.sub(r"\{\w+\}|\s", "", sentence):
            assert sentence in known, sentence
            assert gaps == sorted(n for _, n, _, _ in string.Formatter().parse(known[sentence]) if n), (
                sentence
            )


def test_spanish_is_spoken(machine_file, capsys):
    assert run("--machine", machine_file(machines.REFERENCE), language="es", catalogue=spanish()) == 0
    printed = capsys.readouterr().out
    assert "Mejor: " in printed
    assert "Best" not in printed
    assert "memory" not in printed
