"""The settings a person can change, kept in one JSON file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from localllm.errors import UsageError
from localllm.files import write_atomically
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


def _choice(default: str, label: str, help_: str, *choices: str) -> Any:
    return field(default=default, metadata={"label": label, "help": help_, "choices": choices})


def _number(default: int, label: str, help_: str, low: int, high: int) -> Any:
    return field(default=default, metadata={"label": label, "help": help_, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """Every setting with its label, help and limits as metadata; the Settings page is built from it."""

    language: str = _choice(
        "system", "Language", "The language of the window and of messages.", "system", "en", "es"
    )
    theme: str = _choice("system", "Theme", "Light, dark, or as the system says.", "system", "light", "dark")
    text_size: int = _number(100, "Text size", "Percent of the size that the system sets.", 80, 200)
    reduced_motion: str = _choice(
        "system",
        "Reduced motion",
        "Whether things change without moving: as the system says, always, or never.",
        "system",
        "on",
        "off",
    )
    context_length: int = _number(
        8192,
        "Context length",
        "Tokens a model is loaded with, if it was trained for as many.",
        256,
        1_048_576,
    )
    threads: int = _number(0, "Threads", "0 takes the physical cores this program may really use.", 0, 512)
    network: str = _choice(
        "allowed",
        "Network",
        "Whether searches and downloads may ask the Hugging Face Hub.",
        "allowed",
        "off",
    )
    download_limit: int = _number(0, "Download limit", "MiB per second; 0 is without limit.", 0, 100_000)
    model_folders: tuple[str, ...] = field(
        default=(),
        metadata={"label": "More model folders", "help": "Folders in which GGUF files are looked for."},
    )

    def changed(self, **values: object) -> Settings:
        """Return the settings with some values changed.

        Raises:
            UsageError: A value is not of its kind or outside its limits.
        """
        for name, value in values.items():
            _check(name, value)
        return dataclasses.replace(self, **cast("dict[str, Any]", values))


def load_settings(path: Path) -> Settings:
    """Read the settings; a broken file is kept as `settings.invalid-<time>.json`."""
    if not path.is_file():
        return Settings()
    try:
        stored = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
        known = {f.name for f in dataclasses.fields(Settings)}
        values = {name: _as_field(value) for name, value in stored.items() if name in known}
        return Settings().changed(**values)
    except (OSError, ValueError, AttributeError, RecursionError, UsageError) as error:
        kept = path.with_name(f"settings.invalid-{time.strftime('%Y%m%d-%H%M%S')}.json")
        with contextlib.suppress(OSError):  # a folder that cannot be written: the file stays as it is
            path.replace(kept)
        _log.warning("The settings could not be read (%s); kept as %s", error, kept.name)
        return Settings()


def save_settings(path: Path, settings: Settings) -> None:
    """Write the settings whole or not at all.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    write_atomically(path, json.dumps(dataclasses.asdict(settings), indent=2).encode())


def _as_field(value: object) -> object:
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value


def _check(name: str, value: object) -> None:
    fields = {f.name: f for f in dataclasses.fields(Settings)}
    if name not in fields:
        raise UsageError(text("There is no setting named “{name}”.", name=name))
    rules, default = fields[name].metadata, fields[name].default
    fits = type(value) is type(default)
    if fits and "choices" in rules:
        fits = value in rules["choices"]
    if fits and isinstance(value, int) and "low" in rules:
        fits = rules["low"] <= value <= rules["high"]
    if fits and isinstance(value, tuple):
        fits = all(isinstance(item, str) for item in cast("tuple[object, ...]", value))
    if not fits:
        raise UsageError(
            text("The setting “{name}” cannot be {value}.", name=name, value=str(cast("object", value)))
        )
