"""Every sentence a person can see has its Spanish, with the same gaps."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import string
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.settings import GROUPS, Settings
from localllm.texts import Bytes, Moment, Number, Translator, plural, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

ROOT = Path(__file__).resolve().parent.parent
I18N = ROOT / "resources" / "i18n"
_TEXT_MAKERS = {"text": {"text": 0}, "Text": {"text": 0}, "plural": {"plural": 1, "plurals": 2}}
_COUNTED = re.compile(
    r"(?<!of )\{count\} (?!of\b|is\b|has\b)(?:[\w-]+ )?[a-z]+s\b(?!/)"
    r"|(?<!of )\{\w+\} (?:[\w-]+ )?(?:chats|chunks|downloads|files|folders|layers|matrices|messages|tests|threads)\b"
)
_NEVER_ONE = {  # what a broken or huge file claims, limits, vocabularies, and what is said of several only
    "That would be {count} tests, more than {most}.",
    "The engine can spread a model over {count} cards.",
    (
        "The numbers of the tokenizer's {count} tokens have gaps (no. {missing} is missing), "
        "so llama.cpp would take one token for another."
    ),
    "Only {count} positions were scored; below {least} the figures say little. Take more chunks.",
    "it claims {count} experts, more than {limit}",
    "it claims {count} layers that look ahead, of {limit}",
    "it claims {count} layers; 1 to {limit} are possible",
    "it claims {count} parts, more than {limit}",
    "it claims {count} vocabulary entries and has {other}",
    "it rotates {count} elements of a head that has {limit}",
    "its name is longer than {limit} bytes or deeper than {depth} folders",
    "its vocabulary has {count} entries, more than {limit}",
    "llama.cpp over {count} computers like this one, each with a part of the layers",
    "the header claims {count} more bytes at byte {position}, but the file ends after {size}",
    "the list “{key}” claims {count} entries, more than {limit}",
    "the tensor “{name}” stands twice or has {count} dimensions",
    "{architecture} as {type}: {count} tensors, {size}",
    "{architecture} · {source} · {count} files",
    "{count} results make no sense: 1 to {most} can be shown.",
    "{count} tokens ({kind})",
    "{model} compared with {base} on “{text}”, {count} positions",
    "{model} on “{text}”, {count} positions",
    "{model} with a {cache} cache compared with an f16 cache on “{text}”, {count} positions",
    "{size} as {type}, {count} tensors",
    "{count} weight matrices measured over {chunks} of “{text}”, {size}.",
    "{value} GPU layers",  # these three have a form for one beside them
    "{value} layers' experts in memory",
    "{value} threads",
    "One is made each day while LocalLLM is used; {count} days are kept in “{folder}”.",
}


@dataclasses.dataclass(frozen=True)
class Said:
    """A literal, and the function that it is handed to: "text", "plural" (the first), "plurals" (the second), "tr"."""

    words: str
    maker: str


def literals_of(source: str, *, ui: bool) -> set[Said]:
    """Return every literal handed to text(), plural(), Text() and, in the window, tr(), also by way of a name."""
    found: set[Said] = set()
    tree = ast.parse(source)
    for scope in ast.walk(tree):
        if isinstance(scope, ast.Module | ast.FunctionDef):
            for node in _own_nodes(scope):
                if isinstance(node, ast.Call):
                    found.update(_handed_over(node, scope, tree, ui=ui))
    return found


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Return what is in a function, without the functions in it."""
    waiting = [scope]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            yield child
            if not isinstance(child, ast.FunctionDef):
                waiting.append(child)


def _handed_over(call: ast.Call, scope: ast.AST, tree: ast.AST, *, ui: bool) -> Iterable[Said]:
    places = _places(call.func, ui=ui)
    starred = [argument for argument in call.args if isinstance(argument, ast.Starred)]
    for maker, place in places.items():
        given = [call.args[place]] if place < len(call.args) else starred
        for node in given:
            yield from (Said(words, maker) for words in _strings(node) | _named(node, scope, tree))


def _named(node: ast.expr, scope: ast.AST, tree: ast.AST) -> set[str]:
    """Return the literals that a name was given, in its function or else in its module."""
    name = node.value if isinstance(node, ast.Starred) else node
    if not isinstance(name, ast.Name):
        return set()
    return _assigned(name.id, _own_nodes(scope)) or _assigned(name.id, _own_nodes(tree))


def _assigned(name: str, nodes: Iterable[ast.AST]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign | ast.For):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
            if name in names:
                found |= _constants(node.value if isinstance(node, ast.Assign) else node.iter)
    return found


def _constants(node: ast.expr) -> set[str]:
    """Return the sentences in an expression: what it compares and looks up is none."""
    if isinstance(node, ast.Tuple | ast.List):
        return {words for part in node.elts for words in _constants(part)}
    if isinstance(node, ast.Dict):
        return {words for part in node.values for words in _constants(part)}
    if isinstance(node, ast.Subscript):
        return _constants(node.value)
    return _strings(node)


def _places(function: ast.expr, *, ui: bool) -> dict[str, int]:
    if isinstance(function, ast.Name):
        return _TEXT_MAKERS.get(function.id, {})
    if ui and isinstance(function, ast.Attribute):
        return {"tr": {"tr": 0}, "translate": {"tr": 1}}.get(function.attr, {})
    return {}


def _strings(node: ast.expr) -> set[str]:
    """Return the literals an expression can be; `a if … else b` is two."""
    if isinstance(node, ast.IfExp):
        return _constants(node.body) | _constants(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


@cache
def all_said() -> dict[Said, Path]:
    said: dict[Said, Path] = {}
    for path in sorted((ROOT / "localllm").rglob("*.py")):
        ui = "ui" in path.relative_to(ROOT).parts
        for one in literals_of(path.read_text(encoding="utf-8"), ui=ui):
            said.setdefault(one, path.relative_to(ROOT))
    return said


def all_sentences() -> dict[str, Path]:
    sentences = {said.words: path for said, path in all_said().items()}
    for field in dataclasses.fields(Settings):
        for part in ("label", "help", "least", "most"):
            sentences.setdefault(field.metadata.get(part, ""), Path("localllm/settings.py"))
    for title in GROUPS.values():
        sentences.setdefault(title, Path("localllm/settings.py"))
    return {
        sentence: path for sentence, path in sentences.items() if any(c.isalpha() for c in _bare(sentence))
    }


def spanish() -> dict[str, str]:
    return json.loads((I18N / "es.json").read_text(encoding="utf-8"))


def gaps_of(sentence: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None)


def _bare(sentence: str) -> str:
    return "".join(words for words, _, _, _ in string.Formatter().parse(sentence))


def test_collector_finds_every_kind_of_sentence() -> None:
    source = 'text("a"); plural(n, "b", "c {count}"); Text("d" if x else "e"); self.tr("f"); other("g")'
    found = literals_of(source, ui=True)
    assert {said.words for said in found} == {"a", "b", "c {count}", "d", "e", "f"}
    assert {said.maker for said in found} == {"text", "plural", "plurals", "tr"}


def test_collector_follows_names() -> None:
    source = """
OUTER = "g" if z else "h"
def one(x, y):
    first, *rest = ("a", "b") if x == "no" else ("c", "d")
    for sentence in ("e", "f"):
        text(sentence)
    def inner():
        sentences = ("i", "j")
        return plural(3, *sentences)
    return plural(y, first, "k"), text(OUTER)
"""
    assert {said.words for said in literals_of(source, ui=False)} == set("abcdefghijk")


def test_window_has_sentences() -> None:
    assert any("ui" in path.parts for path in all_sentences().values())


def test_every_sentence_has_its_spanish() -> None:
    known = spanish()
    missing = [f"{path}: {sentence}" for sentence, path in all_sentences().items() if sentence not in known]
    assert not missing, "\n".join(missing)


def test_spanish_has_the_same_gaps() -> None:
    wrong = [
        english
        for english, translated in spanish().items()
        if gaps_of(english) != gaps_of(translated) or not translated.strip()
    ]
    assert not wrong, "\n".join(wrong)


def test_spanish_has_no_sentence_that_nobody_says() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "localllm").rglob("*.py"))
    said = set(all_sentences())
    unknown = [sentence for sentence in spanish() if sentence not in said and sentence not in source]
    assert not unknown, "\n".join(unknown)


def test_what_is_counted_has_a_form_for_one() -> None:
    """A sentence with “{count} things” that is not in plural() says “1 things” one day."""
    many = {said.words for said in all_said() if said.maker == "plurals"}
    assert len(many) > 30
    always = {said.words for said in all_said() if said.maker == "text"}
    wrong = {sentence for sentence in always - many if _COUNTED.search(sentence)}
    assert wrong <= _NEVER_ONE, "\n".join(wrong - _NEVER_ONE)
    assert wrong == _NEVER_ONE, f"no longer said: {_NEVER_ONE - wrong}"


def test_numbers_sizes_and_days_are_written_as_the_language_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    values = {
        "small": 8192,
        "count": 1_048_576,
        "number": Number(12_345.678, 2),
        "size": Bytes(1.5 * 2**30),
        "day": Moment(1_795_336_200.0),
        "when": Moment(1_795_336_200.0, time_of_day=True),
        "code": "3221225477",
    }
    shown = text("{small} {count} {number} {size} {day} {when} {code}", **values)
    one, other = Translator("en").translate(shown), Translator("es").translate(shown)
    assert one == "8192 1,048,576 12,345.68 1.50 GiB 22 Nov 2026 22 Nov 2026, 08:30 3221225477"
    assert other == "8192 1.048.576 12.345,68 1,50 GiB 22 nov 2026 22 nov 2026, 08:30 3221225477"
    monkeypatch.undo()
    time.tzset()
    assert Translator("es").translate(plural(20_000, "one", "{count} tokens")) == "20.000 tokens"
    assert Translator("en").translate(text("{yes}", yes=True)) == "True"
