"""The settings a person can change."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from localllm.errors import UsageError
from localllm.paths import expand_home
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Mapping

_HUB_OFFLINE = "HF_HUB_OFFLINE"
_YES = ("1", "on", "yes", "true")  # what huggingface_hub takes for it
GROUPS: Mapping[str, str] = {
    "appearance": "Appearance",
    "chat": "Chat",
    "loading": "Loading models",
    "downloads": "Downloads",
    "bench": "Bench",
    "data": "Data",
}


def _of(group: str, label: str, help_: str, default: Any, **rules: object) -> Any:
    return field(default=default, metadata={"group": group, "label": label, "help": help_, **rules})


@dataclass(frozen=True)
class Settings:
    """Every setting with its group, label, help and limits as metadata; the Settings page is built from it.

    A setting that has the name of one of `LoadSettings` or `Sampling` is what that one usually is.
    """

    language: str = _of(
        "appearance",
        "Language",
        "The language of the window and of messages.",
        "system",
        choices=("system", "en", "es"),
    )
    theme: str = _of(
        "appearance",
        "Theme",
        "Light, dark, or as the system says.",
        "system",
        choices=("system", "light", "dark"),
    )
    text_size: int = _of(
        "appearance", "Text size", "Percent of the size that the system sets.", 100, low=80, high=200, step=10
    )
    reduced_motion: str = _of(
        "appearance",
        "Reduced motion",
        "Whether things change without moving: as the system says, always, or never.",
        "system",
        choices=("system", "on", "off"),
    )
    start_page: str = _of(
        "appearance",
        "First page",
        "What the window shows when it opens.",
        "last",
        choices=("last", "home", "chat", "discover", "library"),
    )
    system_prompt: str = _of(
        "chat",
        "System prompt",
        "How the model should behave in every chat that has no instructions of its own.",
        "",
        lines=True,
    )
    temperature: float = _of(
        "chat",
        "Temperature",
        "Higher is more varied; 0 always takes the likeliest token.",
        0.8,
        low=0,
        high=5,
        step=0.05,
    )
    top_k: int = _of(
        "chat",
        "Top-k",
        "Choose among so many of the likeliest tokens; 0 is off.",
        40,
        low=0,
        high=1_000_000,
    )
    top_p: float = _of(
        "chat",
        "Top-p",
        "Choose among the tokens that together reach this probability; 1 is off.",
        0.95,
        low=0,
        high=1,
        step=0.01,
    )
    min_p: float = _of(
        "chat",
        "Min-p",
        "Leave out tokens less likely than this share of the likeliest; 0 is off.",
        0.05,
        low=0,
        high=1,
        step=0.01,
    )
    repeat_penalty: float = _of(
        "chat",
        "Repeat penalty",
        "Above 1 makes words that were just used less likely.",
        1.0,
        low=0,
        high=5,
        step=0.01,
    )
    max_tokens: int = _of(
        "chat",
        "Longest answer",
        "In tokens; without a limit it goes on until the answer or the context ends.",
        -1,
        low=-1,
        high=1_000_000,
        step=64,
        least="no limit",
    )
    context_length: int = _of(
        "loading",
        "Context length",
        "Tokens a model is loaded with, if it was trained for as many.",
        8192,
        low=256,
        high=1_048_576,
        step=1024,
    )
    threads: int = _of(
        "loading",
        "Threads",
        "Automatic takes the cores that this program may really use.",
        0,
        low=0,
        high=512,
        least="automatic",
    )
    gpu_layers: int = _of(
        "loading",
        "GPU layers",
        "Automatic puts as many on the GPU as fit.",
        -1,
        low=-1,
        high=999,
        least="automatic",
    )
    experts_layers_on_cpu: int = _of(
        "loading",
        "Experts in main memory",
        "Of so many layers; automatic takes as few as must be. For models with experts.",
        -1,
        low=-1,
        high=512,
        least="automatic",
        most="all layers",
    )
    kv_type: str = _of(
        "loading",
        "KV cache type",
        "Smaller types take less memory and lose a little precision.",
        "f16",
        choices=("f16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"),
    )
    flash_attention: bool = _of(
        "loading", "Flash attention", "Takes less memory; a quantized KV cache needs it.", default=True
    )
    ubatch: int = _of(
        "loading",
        "Physical batch",
        "Tokens of a prompt that are read at once: more is faster and takes more memory.",
        512,
        low=32,
        high=8192,
        step=128,
    )
    load_at_start: bool = _of(
        "loading",
        "Load a model at the start",
        "The one that was used last is loaded as soon as the window is open.",
        default=False,
    )
    idle_minutes: int = _of(
        "loading",
        "Give memory back after",
        "Minutes without a message; the next message loads the model again by itself.",
        0,
        low=0,
        high=1440,
        step=5,
        least="never",
    )
    network: str = _of(
        "downloads",
        "Network",
        "Whether searches and downloads may ask the Hugging Face Hub.",
        "allowed",
        choices=("allowed", "off"),
        variable=_HUB_OFFLINE,
    )
    download_limit: int = _of(
        "downloads",
        "Download limit",
        "MiB per second.",
        0,
        low=0,
        high=100_000,
        least="no limit",
    )
    kwh_price: float = _of(
        "bench",
        "A kWh costs",
        "In your currency; the Bench shows what a million tokens cost where energy can be measured.",
        0.0,
        low=0,
        high=1000,
        step=0.01,
    )
    models_folder: str = _of(
        "data",
        "Models folder",
        "Where downloads and models made here go. What lies elsewhere stays there, and on the list.",
        "",
        least="in the data folder",
        folder=True,
    )
    model_folders: tuple[str, ...] = _of(
        "data", "More model folders", "Folders in which GGUF files are looked for.", (), folder=True
    )
    trash_days: int = _of(
        "data",
        "Days in the trash",
        "Deleted chats and models are kept for so long, then they are gone.",
        30,
        low=1,
        high=3650,
    )

    def changed(self, **values: object) -> Settings:
        """Return the settings with some values changed.

        What was the models folder is looked through from then on, so that its models stay on the list.

        Raises:
            UsageError: A value is not of its kind or outside its limits.
        """
        for name, value in values.items():
            _check(name, value)
        old = self.models_folder
        if values.get("models_folder", old) != old and old and old not in self.model_folders:
            values.setdefault("model_folders", (*self.model_folders, old))
        return dataclasses.replace(self, **cast("dict[str, Any]", values))

    @property
    def chosen(self) -> dict[str, object]:
        """The settings that are not as the program comes, by name."""
        return {
            entry.name: value
            for entry in dataclasses.fields(self)
            if (value := getattr(self, entry.name)) != entry.default
        }


def offline_by_environment() -> bool:
    """Tell whether the environment keeps every program of this user away from the Hub."""
    return os.environ.get(_HUB_OFFLINE, "").lower() in _YES


def default_of(name: str) -> object:
    """Return what a setting is in the program as it comes.

    Raises:
        UsageError: There is none of this name.
    """
    return _field(name).default


def read_value(name: str, words: str) -> object:
    """Read a setting from a command line: on and off for a switch, one folder in a line of a list.

    Raises:
        UsageError: There is none of this name, or it cannot have this value.
    """
    default = default_of(name)
    value: object = words
    if isinstance(default, bool):
        value = {"on": True, "true": True, "off": False, "false": False}.get(words.lower(), words)
    elif isinstance(default, int | float):
        with contextlib.suppress(ValueError):
            value = type(default)(words)
    elif isinstance(default, tuple):
        value = tuple(line.strip() for line in words.splitlines() if line.strip())
    if _field(name).metadata.get("folder"):  # a command line means the folder it is said in
        value = _absolute(value)
    _check(name, value)
    return value


def _absolute(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_absolute(folder) for folder in cast("tuple[str, ...]", value))
    return str(expand_home(str(value)).absolute()) if value else value


def _can_be_written(value: object) -> bool:
    """Whether no text in it has what neither a path nor UTF-8 can hold."""
    words = "".join(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else str(value)
    return "\0" not in words and not any("\ud800" <= letter <= "\udfff" for letter in words)


def _field(name: str) -> dataclasses.Field[Any]:
    for entry in dataclasses.fields(Settings):
        if entry.name == name:
            return entry
    raise UsageError(text("There is no setting named “{name}”.", name=name))


def _check(name: str, value: object) -> None:
    entry = _field(name)
    rules, default = entry.metadata, entry.default
    fits = type(value) is type(default)
    if fits and "choices" in rules:
        fits = value in rules["choices"]
    if fits and isinstance(value, int | float) and "low" in rules:
        fits = rules["low"] <= value <= rules["high"]
    if fits and isinstance(value, tuple):
        fits = all(isinstance(item, str) for item in cast("tuple[object, ...]", value))
    if fits and not _can_be_written(cast("object", value)):
        fits = False
    if fits and isinstance(value, str) and value and rules.get("folder"):
        fits = expand_home(value).is_absolute()
    if not fits:
        raise UsageError(
            text("The setting “{name}” cannot be {value}.", name=name, value=str(cast("object", value)))
        )
