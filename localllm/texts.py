"""Sentences for people: written in English where they arise, translated where they are shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LANGUAGES = {"en": "English", "es": "Español"}
GIB = 2**30
MIB = 2**20


@dataclass(frozen=True)
class Bytes:
    """A size in bytes, shown in GiB (2^30), MiB (2^20) or bytes."""

    count: float


@dataclass(frozen=True)
class Number:
    """A number shown with so many decimals."""

    value: float
    decimals: int = 0


@dataclass(frozen=True)
class Text:
    """A sentence in English with {named} gaps, and what belongs into them."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict[str, object])

    def __str__(self) -> str:
        """Return the English sentence."""
        return Translator("en").translate(self)


def text(template: str, **values: object) -> Text:
    """Make a sentence; values may be `Bytes`, `Number`, another `Text`, or anything with a plain str()."""
    return Text(template, values)


def plural(count: int, one: str, many: str, **values: object) -> Text:
    """Make the sentence for one thing or for {count} of them (English and Spanish share this rule)."""
    return Text(one if count == 1 else many, {"count": count, **values})


class Translator:
    """Puts sentences into one language."""

    def __init__(self, language: str, catalogue: Mapping[str, str] | None = None) -> None:
        self.language = language
        self._catalogue = catalogue or {}
        self._decimal_mark = "," if language == "es" else "."

    @classmethod
    def load(cls, language: str, folder: Path) -> Translator:
        """Read `<language>.json` from the folder; a language without a file shows English."""
        path = folder / f"{language}.json"
        if not path.is_file():
            return cls("en")
        return cls(language, json.loads(path.read_text(encoding="utf-8")))

    def translate(self, sentence: Text | str) -> str:
        """Return the sentence in this language; what is missing from the catalogue stays English."""
        if isinstance(sentence, str):
            return self._catalogue.get(sentence, sentence)
        template = self._catalogue.get(sentence.template, sentence.template)
        shown = {name: self._show(value) for name, value in sentence.values.items()}
        return template.format_map(shown) if shown else template

    def _show(self, value: object) -> object:
        match value:
            case Text():
                return self.translate(value)
            case Bytes(count):
                return format_bytes(count).replace(".", self._decimal_mark)
            case Number(number, decimals):
                return f"{number:.{decimals}f}".replace(".", self._decimal_mark)
            case _:
                return value


def format_bytes(count: float) -> str:
    """Return a size as people read it: "5.84 GiB", "94 MiB", "12 KiB", "51 bytes"."""
    if abs(count) >= 0.995 * GIB:
        return f"{count / GIB:.2f} GiB" if abs(count) < 99.5 * GIB else f"{count / GIB:.0f} GiB"
    if abs(count) >= MIB:
        return f"{count / MIB:.0f} MiB"
    return f"{count / 1024:.0f} KiB" if abs(count) >= 1024 else f"{count:.0f} bytes"
