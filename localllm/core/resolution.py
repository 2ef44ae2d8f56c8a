"""Which value of a load or sampling setting applies, and where it comes from: the one place that decides.

Each level says something or leaves it to the one below:

    chat, choice or command line   what was chosen for this chat, in the loader, with flags
    profile                        the load profile of the model: all of how it is loaded; sampling and
                                   system prompt where it has them
    settings                       what the Settings page has changed
    default                        the program as it comes
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from localllm.engine.protocol import PLAIN_KV_TYPES, LoadSettings, Sampling
from localllm.errors import StoreError
from localllm.settings import Settings, default_of, offline_by_environment
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localllm.core.library import Library, LoadProfile

_log = logging.getLogger(__name__)

Source = Literal["default", "settings", "profile", "chat", "choice", "command line", "environment"]
SAMPLING_NAMES = tuple(entry.name for entry in dataclasses.fields(Sampling))
LOAD_NAMES = tuple(entry.name for entry in dataclasses.fields(LoadSettings))


@dataclass(frozen=True)
class Resolved:
    """A value, the level that said it, and what applies when that level says nothing."""

    value: Any
    source: Source
    below: Resolved | None = None


@dataclass(frozen=True)
class Resolution:
    """Every load and sampling setting and the system prompt, by name; `profile` is that profile's name."""

    values: Mapping[str, Resolved]
    profile: str = ""

    @property
    def load(self) -> LoadSettings:
        """How the model is loaded."""
        return LoadSettings(**{name: self.values[name].value for name in LOAD_NAMES})

    @property
    def sampling(self) -> Sampling:
        """How answers are sampled."""
        return Sampling(**{name: self.values[name].value for name in SAMPLING_NAMES})

    @property
    def system_prompt(self) -> str:
        """What stands before the conversation."""
        return self.values["system_prompt"].value


def resolve(
    settings: Settings,
    profile: LoadProfile | None = None,
    chosen: Mapping[str, object] | None = None,
    by: Source = "chat",
) -> Resolution:
    """Return what applies to every load and sampling setting, and why.

    Args:
        settings: Of the application.
        profile: The load profile that the model is used with.
        chosen: What was chosen beside that, sparse, by the names of `LoadSettings` and `Sampling`.
        by: What chose it.
    """
    levels: tuple[tuple[Source, Mapping[str, object]], ...] = (
        ("default", _defaults()),
        ("settings", _spread(settings.chosen)),
        ("profile", _said_by(profile) if profile is not None else {}),
        (by, chosen or {}),
    )
    values: dict[str, Resolved] = {}
    for source, said in levels:
        for name, value in said.items():
            values[name] = Resolved(value, source, values.get(name))
    return Resolution(_consistent(values), profile.name if profile is not None else "")


def default_profile(library: Library, path: Path) -> LoadProfile | None:
    """Return the load profile that a model is used with when none is named."""
    try:
        return library.profile(path.absolute())
    except StoreError as error:
        _log.warning("Load profiles cannot be read: %s", error.detail or error)
        return None


def setting_of(settings: Settings, name: str) -> Resolved:
    """Return a setting's value and where it comes from; the environment can overrule the network.

    Raises:
        UsageError: There is none of this name.
    """
    found = Resolved(default_of(name), "default")
    if name in settings.chosen:
        found = Resolved(settings.chosen[name], "settings", found)
    if variable_of(name) and offline_by_environment():
        found = Resolved("off", "environment", found)
    return found


def variable_of(name: str) -> str:
    """Return the environment variable that overrules a setting, "" if none does."""
    rules = {entry.name: entry.metadata for entry in dataclasses.fields(Settings)}
    return rules[name].get("variable", "")


def describe_source(source: Source, profile: str = "") -> Text:
    """Return where a value comes from, in a word or two."""
    if source == "profile" and profile:
        return text("from the profile “{name}”", name=profile)
    words = {
        "default": text("default"),
        "settings": text("from the settings"),
        "profile": text("from the model's profile"),
        "chat": text("set in this chat"),
        "choice": text("chosen here"),
        "command line": text("from the command line"),
        "environment": text("from the environment"),
    }
    return words[source]


def _defaults() -> dict[str, object]:
    records = (LoadSettings(), Sampling())
    values: dict[str, object] = {
        entry.name: getattr(record, entry.name) for record in records for entry in dataclasses.fields(record)
    }
    return values | {"system_prompt": ""}


def _spread(chosen: Mapping[str, object]) -> dict[str, object]:
    """Return what the settings say, by the names that loading and sampling have for it."""
    usual = {
        name: value
        for name, value in chosen.items()
        if name in (*LOAD_NAMES, *SAMPLING_NAMES, "system_prompt")
    }
    if "kv_type" in chosen:
        usual |= {"kv_type_k": chosen["kv_type"], "kv_type_v": chosen["kv_type"]}
    return usual


def _said_by(profile: LoadProfile) -> dict[str, object]:
    said: dict[str, object] = {name: getattr(profile.load, name) for name in LOAD_NAMES}
    if profile.sampling is not None:
        said |= {name: getattr(profile.sampling, name) for name in SAMPLING_NAMES}
    if profile.system_prompt:
        said["system_prompt"] = profile.system_prompt
    return said


def _consistent(values: dict[str, Resolved]) -> dict[str, Resolved]:
    """Turn flash attention on where the type of the cache needs it, and say by which level."""
    kind, flash = values["kv_type_v"], values["flash_attention"]
    if kind.value not in PLAIN_KV_TYPES and not flash.value:
        values["flash_attention"] = Resolved(value=True, source=kind.source, below=flash)
    return values
