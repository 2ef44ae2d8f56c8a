"""How well what was typed matches what is listed: words in any order, or letters in their order."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LETTERS_ONLY = 1000  # worse than any match of whole words


def plain(words: str) -> str:
    """Return words without capitals and accents."""
    parts = unicodedata.normalize("NFKD", words.casefold())
    return "".join(sign for sign in parts if not unicodedata.combining(sign))


def distance(typed: str, names: Sequence[str]) -> int | None:
    """Return how far what was typed is from the nearest name, 0 at best; None if from all too far.

    `typed` and `names` are as `plain` makes them; the first name counts most.
    """
    words = typed.split()
    found = [_distance(words, name) for name in names]
    return min((far + place for place, far in enumerate(found) if far is not None), default=None)


def _distance(words: list[str], name: str) -> int | None:
    far = 0
    for word in words:
        if word not in name:
            return _stray(words, name)
        begins = re.search(rf"\b{re.escape(word)}", name)
        far += 2 * min(begins.start(), 20) if begins else 100
    return far


def _stray(words: list[str], name: str) -> int | None:
    """Return how many letters stand between those that were typed, all of them in one name."""
    letters = "".join(words)
    if len(letters) < 2:
        return None
    begin = at = name.find(letters[0])
    for letter in letters[1:]:
        at = name.find(letter, at + 1)
        if at < 0:
            return None
    stray = at - begin + 1 - len(letters)
    return LETTERS_ONLY + stray if begin >= 0 and stray <= len(letters) + 1 else None
