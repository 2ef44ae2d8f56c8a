"""What a child says on standard error before it loads a driver's code, which may crash or hang in it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WITHOUT = "--without"
_LOADING, _LOADED = "loading backend ", "backends loaded"


def announce(name: str) -> None:
    """Say that a part is being loaded."""
    _say(_LOADING + name)


def announce_end() -> None:
    """Say that all are loaded."""
    _say(_LOADED)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def blamed_backend(last_lines: Sequence[str]) -> str:
    """Return the part that a child was loading when it ended, "" if it ended elsewhere."""
    for line in reversed(last_lines):
        if line == _LOADED:
            return ""
        if line.startswith(_LOADING):
            return line.removeprefix(_LOADING)
    return ""
