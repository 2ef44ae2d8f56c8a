"""The one JSON file that keeps the settings: read piece by piece, written whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import re
from typing import TYPE_CHECKING, cast

from filelock import FileLock

from localllm.errors import UsageError
from localllm.files import set_aside, write_atomically
from localllm.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)
_LARGEST = 2**20  # bytes that are read of the file
_PATIENCE = 2.0  # seconds for another program to write them


def load_settings(path: Path) -> Settings:
    """Read the settings; a file with something broken is kept as `settings.invalid-<time>.json`."""
    settings, wrong = read_settings(path)
    if wrong:
        _keep_aside(path, wrong, settings)
    return settings


def read_settings(path: Path) -> tuple[Settings, str]:
    """Return what can be read of the settings, and what is wrong with their file, "" for nothing."""
    if not path.is_file():
        return Settings(), ""
    settings = Settings()
    stored, wrong = _stored(path)
    for entry in dataclasses.fields(Settings):
        if entry.name in stored:
            try:
                settings = settings.changed(**{entry.name: _as_kept(stored[entry.name], entry.default)})
            except (UsageError, OverflowError) as error:  # the others are as good as ever
                wrong = str(error)
    return settings, wrong


def _stored(path: Path) -> tuple[dict[str, object], str]:
    """Return the values that can be read from the file, and what is wrong with it, "" for nothing."""
    content = b""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST)
        stored = json.loads(content)  # UTF-8, 16 or 32, as the editors of all systems leave it
        if isinstance(stored, dict):
            return cast("dict[str, object]", stored), ""
        wrong = "it is no object"
    except (OSError, ValueError, RecursionError) as error:
        wrong = str(error)
    return _pieces(content.decode("utf-8", "replace")), wrong


def _pieces(words: str) -> dict[str, object]:
    """Return the settings that still stand whole in a file that is cut off or garbled."""
    found: dict[str, object] = {}
    for entry in dataclasses.fields(Settings):
        place = re.search(rf'"{entry.name}"\s*:\s*', words)
        if place:
            with contextlib.suppress(ValueError, RecursionError):
                found[entry.name] = json.JSONDecoder().raw_decode(words, place.end())[0]
    return found


def save_settings(path: Path, settings: Settings) -> None:
    """Write what was chosen, whole or not at all; what was not follows the program's defaults.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    write_atomically(path, json.dumps(settings.chosen, indent=2).encode())


def change_settings(path: Path, **values: object) -> Settings:
    """Change some values in the file, where the others stay as they are by now, and return all.

    Raises:
        UsageError: A value is not of its kind or outside its limits.
        OSError: The disk is full, the folder cannot be written, or another program holds the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=_PATIENCE):
        changed = load_settings(path).changed(**values)
        save_settings(path, changed)
    return changed


def reset_settings(path: Path) -> Path | None:
    """Go back to the defaults; return where the old file is kept, None if there was none.

    Raises:
        OSError: The folder cannot be written.
    """
    return set_aside(path, "before-reset") if path.is_file() else None


def _keep_aside(path: Path, why: str, good: Settings) -> None:
    kept = path
    with contextlib.suppress(OSError):  # a folder that cannot be written: the file stays as it is
        kept = set_aside(path, "invalid")
        if good.chosen:
            save_settings(path, good)
    _log.warning("The settings could not all be read (%.300a); kept as %s", why, kept.name)


def _as_kept(value: object, default: object) -> object:
    """Return a value of JSON as the kind that the setting has."""
    if isinstance(value, list):
        return tuple(cast("list[object]", value))
    return float(value) if isinstance(default, float) and type(value) is int else value
