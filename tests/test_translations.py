"""Every sentence a person can see has its Spanish, with the same gaps."""

from __future__ import annotations

import ast
import dataclasses
import json
import string
from pathlib import Path

import pytest

from localllm.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
I18N = ROOT / "resources" / "i18n"
_TEXT_MAKERS = {"text": (0,), "Text": (0,), "plural": (1, 2)}


def literals_of(source: str, *, ui: bool) -> set[str]:
    """Return every literal handed to text(), plural(), Text() and, in the window, tr()."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        for place in _places(node.func, ui=ui):
            if place < len(node.args):
                found |= _strings(node.args[place])
    return found


def _places(function: ast.expr, *, ui: bool) -> tuple[int, ...]:
    if isinstance(function, ast.Name):
        return _TEXT_MAKERS.get(function.id, ())
    if ui and isinstance(function, ast.Attribute):
        return {"tr": (0,), "translate": (1,)}.get(function.attr, ())
    return ()


def _strings(node: ast.expr) -> set[str]:
    """Return the literals an expression can be; `a if … else b` is two."""
    if isinstance(node, ast.IfExp):
        return _strings(node.body) | _strings(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def all_sentences() -> dict[str, Path]:
    sentences: dict[str, Path] = {}
    for path in sorted((ROOT / "localllm").rglob("*.py")):
        ui = "ui" in path.relative_to(ROOT).parts
        for sentence in literals_of(path.read_text(encoding="utf-8"), ui=ui):
            sentences.setdefault(sentence, path.relative_to(ROOT))
    for field in dataclasses.fields(Settings):
        for part in ("label", "help"):
            sentences.setdefault(field.metadata[part], Path("localllm/settings.py"))
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
    assert literals_of(source, ui=True) == {"a", "b", "c {count}", "d", "e", "f"}


def test_window_has_sentences() -> None:
    assert any("ui" in path.parts for path in all_sentences().values())


def test_every_sentence_has_its_spanish() -> None:
    known = spanish()
    missing = [f"{path}: {sentence}" for sentence, path in all_sentences().items() if sentence not in known]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(("english", "translated"), sorted(spanish().items()))
def test_spanish_has_the_same_gaps(english: str, translated: str) -> None:
    assert gaps_of(english) == gaps_of(translated)
    assert translated.strip()


def test_spanish_has_no_sentence_that_nobody_says() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "localllm").rglob("*.py"))
    said = set(all_sentences())
    unknown = [sentence for sentence in spanish() if sentence not in said and sentence not in source]
    assert not unknown, "\n".join(unknown)
