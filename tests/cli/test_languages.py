"""The command line speaks the system's language; what programs read is the same in each."""

import json
import re

import pytest

from localllm.cli.main import run

COMMANDS = [["catalog"], ["recommend", "--ram", "16GiB", "--gpu", "none"]]


def answers(command, language, monkeypatch, capsys):
    monkeypatch.setenv("LANG", f"{language}.UTF-8")
    assert run(command) == 0
    return capsys.readouterr().out


def figures_of(value):
    """Return what is no sentence, in its order."""
    if isinstance(value, dict):
        return {name: figures_of(part) for name, part in value.items()}
    if isinstance(value, list):
        return [figures_of(part) for part in value]
    return "words" if isinstance(value, str) else value


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_programs_read_the_same_figures_in_every_language(command, monkeypatch, capsys):
    english = json.loads(answers([*command, "--json"], "en_US", monkeypatch, capsys))
    spanish = json.loads(answers([*command, "--json"], "es_ES", monkeypatch, capsys))
    assert figures_of(spanish) == figures_of(english)
    assert figures_of(english) != "words"


def test_people_read_numbers_as_their_language_writes_them(monkeypatch, capsys):
    english = answers(COMMANDS[1], "en_US", monkeypatch, capsys)
    spanish = answers(COMMANDS[1], "es_ES", monkeypatch, capsys)
    assert re.search(r"\d\.\d+ GiB", english)
    assert re.search(r"\d,\d+ GiB", spanish)
    assert not re.search(r"\d\.\d+ GiB", spanish)
