"""Sentences for people: written in English where they arise, translated where they are shown."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LANGUAGES = {"en": "English", "es": "Español"}
GIB = 2**30
MIB = 2**20
_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "es": ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"),
}
_MARKS = {"en": (".", ","), "es": (",", ".")}  # before decimals, between thousands
_UNGROUPED = 10_000  # smaller numbers are written in one piece: 8192


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
class Moment:
    """A day, in seconds since 1970, shown as this computer's clock has it; with the time of day if wished."""

    seconds: float
    time_of_day: bool = False


@dataclass(frozen=True)
class Text:
    """A sentence in English with {named} gaps, and what belongs into them."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict[str, object])

    def __str__(self) -> str:
        """Return the English sentence."""
        return Translator("en").translate(self)


def text(template: str, **values: object) -> Text:
    """Make a sentence; values may be `Bytes`, `Number`, `Moment`, another `Text`, or have a plain str().

    Whole numbers are counts, grouped as the language does; what only looks like one (a code) goes in as
    a `str`.
    """
    return Text(template, values)


def plural(count: int, one: str, many: str, **values: object) -> Text:
    """Make the sentence for one thing or for {count} of them (English and Spanish share this rule)."""
    return Text(one if count == 1 else many, {"count": count, **values})


class Translator:
    """Puts sentences into one language."""

    def __init__(self, language: str, catalogue: Mapping[str, str] | None = None) -> None:
        self.language = language
        self._catalogue = catalogue or {}

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
                return self._in_marks(format_bytes(count))
            case Number(number, decimals):
                return self._in_marks(format_number(number, decimals))
            case Moment(seconds, time_of_day):
                return self._format_moment(time.localtime(seconds), time_of_day=time_of_day)
            case int() if not isinstance(value, bool):
                return self._in_marks(format_number(value))
            case _:
                return value

    def _in_marks(self, english: str) -> str:
        return english.translate(dict(zip(map(ord, _MARKS["en"]), _MARKS[self.language], strict=True)))

    def _format_moment(self, moment: time.struct_time, *, time_of_day: bool) -> str:
        day = f"{moment.tm_mday} {_MONTHS[self.language][moment.tm_mon - 1]} {moment.tm_year}"
        return f"{day}, {moment.tm_hour:02d}:{moment.tm_min:02d}" if time_of_day else day


def format_number(value: float, decimals: int = 0) -> str:
    """Return a number as English writes it: "8192", "32,768", "12.5"."""
    grouped = "," if abs(round(value, decimals)) >= _UNGROUPED else ""
    return f"{value:{grouped}.{decimals}f}"


def format_bytes(count: float) -> str:
    """Return a size as English writes it: "5.84 GiB", "94 MiB", "12 KiB", "51 bytes"."""
    if abs(count) >= 0.995 * GIB:
        return f"{format_number(count / GIB, 2 if abs(count) < 99.5 * GIB else 0)} GiB"
    if abs(count) >= MIB:
        return f"{count / MIB:.0f} MiB"
    return f"{count / 1024:.0f} KiB" if abs(count) >= 1024 else f"{count:.0f} bytes"
