"""Set-up speaks English and Spanish."""

import ast
import string
from pathlib import Path

import pytest

from localllm.bootstrap import engine_install, packages
from localllm.bootstrap.messages import say, spanish

FOLDER = Path(packages.__file__).parent


def sentences() -> set[str]:
    """Return every template that is said: literals, and the constants of the two modules that have some."""
    found: set[str] = set()
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                argument = node.args[0]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found.add(argument.value)
    for module in (packages, engine_install):
        values = {
            name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)
        }
        found |= {
            value
            for value in values.values()
            if " " in value and not value.startswith(("\n", packages.NEEDED))
        }
    return found


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_every_sentence_has_its_spanish_and_no_other_is_kept() -> None:
    assert sentences() == set(spanish())


@pytest.mark.parametrize("english", sorted(spanish()))
def test_spanish_has_the_same_gaps(english: str) -> None:
    assert placeholders(spanish()[english]) == placeholders(english)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "es_AR.UTF-8"}, "Listo tras 0:07."),
        ({"LANG": "es_ES.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "Ready after 0:07."),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "es"}, "Listo tras 0:07."),
        ({"LANG": "fr_FR.UTF-8"}, "Ready after 0:07."),
        ({}, "Ready after 0:07."),
    ],
)
def test_the_systems_language_is_spoken(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert say("Ready after {time}.", time="0:07") == expected
