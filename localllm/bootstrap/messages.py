"""What set-up says, in the language of the system: the application's own texts are not there yet."""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from pathlib import Path


def say(template: str, **values: object) -> str:
    """Return the English sentence, or the Spanish one if that is the system's language, its gaps filled."""
    chosen = spanish().get(template, template) if speaks_spanish() else template
    return chosen.format_map(values)


@cache
def spanish() -> dict[str, str]:
    """Return the Spanish templates by their English ones."""
    return json.loads(Path(__file__).with_name("spanish.json").read_text(encoding="utf-8"))


def speaks_spanish() -> bool:
    """Return whether the system's language is Spanish."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return value.lower().startswith("es")
    if sys.platform == "win32":
        import ctypes

        return ctypes.windll.kernel32.GetUserDefaultUILanguage() & 0x3FF == 0x0A
    return False


class SetupFailed(Exception):
    """Set-up cannot go on; the message is a whole sentence for a person, with what to do.

    `changed` tells whether installed packages may be half written.
    """

    def __init__(self, sentence: str, *, changed: bool = False) -> None:
        super().__init__(sentence)
        self.changed = changed
