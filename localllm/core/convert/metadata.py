"""What a checkpoint says of itself: its name, licence and origin, and how its publisher samples from it.

Keys and their order are llama.cpp's converter's (gguf-py, metadata.py). The model card is data that is read
within limits; a value that no such key can have is passed over.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, cast

import yaml

from localllm.core.convert.naming import NameParts, ParameterCounts, parts_of, title_of
from localllm.core.convert.small_files import as_list, as_object, as_text, read_object
from localllm.errors import CheckpointRefused
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from localllm.gguf.keys import Keys, KeyType
    from localllm.texts import Text

_MAX_CARD = 1 << 20  # bytes of a card that are read
_MAX_NESTING = 64
_CARD = "README.md"
_SAMPLING: tuple[tuple[str, KeyType, tuple[str, ...]], ...] = (
    ("sequence", "string", ("sequence",)),
    ("top_k", "i32", ("top_k",)),
    ("top_p", "f32", ("top_p",)),
    ("min_p", "f32", ("min_p",)),
    ("xtc_probability", "f32", ("xtc_probability",)),
    ("xtc_threshold", "f32", ("xtc_threshold",)),
    ("temp", "f32", ("temperature",)),
    ("penalty_last_n", "i32", ("penalty_last_n",)),
    ("penalty_repeat", "f32", ("penalty_repeat", "repetition_penalty")),
    ("mirostat", "i32", ("mirostat",)),
    ("mirostat_tau", "f32", ("mirostat_tau",)),
    ("mirostat_eta", "f32", ("mirostat_eta",)),
)
# GGUF key after "general.", then where the card may have it; the first that has a value counts
_FROM_CARD = (
    ("name", ("name", "model_name")),
    ("author", ("author", "model_author", "model_creator")),
    ("version", ("version", "model_version")),
    ("organization", ("organization", "model_organization")),
    ("finetune", ("finetune", "model_finetune")),
    ("basename", ("basename", "model_basename", "model_type")),
    ("description", ("description", "model_description")),
    ("size_label", ("size_label", "model_size_label")),
    ("license", ("license",)),
    ("license.name", ("license_name",)),
    ("license.link", ("license_link",)),
    ("source.url", ("url", "model_url")),
    ("source.doi", ("doi", "model_doi")),
    ("source.uuid", ("uuid", "model_uuid")),
    ("source.repo_url", ("repo_url", "model_repo_url")),
)
_ORIGINS = (
    ("base_model", ("base_model", "base_models", "base_model_sources")),
    ("dataset", ("datasets", "dataset", "dataset_sources")),
)
_OF_ORIGIN = (
    *("name", "author", "version", "organization", "description"),
    *("url", "doi", "uuid", "repo_url"),
)
_LISTS = (("tags", ("tags", "pipeline_tag")), ("languages", ("languages", "language")))
_HUB = re.compile(r"https?://huggingface.co/([^/]+/[^/]+)$")
_INT32, _FLOAT32 = 2**31, 3.4028234e38


def add_sampling(keys: Keys, folder: Path) -> None:
    """Set the keys of generation_config.json's sampling parameters; a damaged file has none."""
    try:
        said = read_object(folder, "generation_config.json") or {}
    except CheckpointRefused:
        return
    for name, type_, places in _SAMPLING:
        value = next((said[place] for place in places if place in said), None)
        if (usable := _number(value, type_)) is not None:
            keys.set(f"general.sampling.{name}", type_, usable)


def add_metadata(keys: Keys, folder: Path, counts: ParameterCounts) -> tuple[Text, ...]:
    """Set the keys of name, origin and licence; returns what the person should know.

    Raises:
        CheckpointRefused: config.json is damaged.
    """
    card, notes = _read_card(folder)
    found = {key: value for key, places in _FROM_CARD if (value := _first(card, places)) is not None}
    path = (read_object(folder, "config.json") or {}).get("_name_or_path")
    if isinstance(path, str) and path.count("/") <= 1:
        _learn(found, parts_of(path, counts.total))
    _learn(found, parts_of(folder.absolute().name, counts.total))
    if counts.total > 0:
        found.setdefault("size_label", counts.label)
    for key, _ in _FROM_CARD:
        keys.set(f"general.{key}", "string", found.get(key))
    for origin, places in _ORIGINS:
        if any(place in card for place in places):
            _add_origins(keys, origin, _listed(card, places), counts.total)
    for key, places in _LISTS:
        entries = [_plain(entry) for place in places for entry in _as_entries(card.get(place))]
        keys.set(f"general.{key}", "string", [entry for entry in entries if entry is not None])
    return notes


def _number(value: object, type_: KeyType) -> str | int | float | None:
    """Return a value as a key of this type has it; None if it cannot be one."""
    if type_ == "string":
        return as_text(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if type_ == "f32":
        return value if abs(value) <= _FLOAT32 else None
    whole = isinstance(value, int) or value.is_integer()
    return int(value) if whole and -_INT32 <= value < _INT32 else None


def _first(card: dict[str, Any], places: Iterable[str]) -> str | None:
    """Return the first of these entries that has a value, if it can be written as a text."""
    value = next((card[place] for place in places if card.get(place) is not None), None)
    entries = as_list(value)
    return (
        ",".join(entry for entry in map(_plain, entries) if entry is not None) if entries else _plain(value)
    )


def _plain(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return str(value) if math.isfinite(value) else None
    return as_text(value)


def _learn(found: dict[str, str], parts: NameParts) -> None:
    """Take over what a name says and nothing said before."""
    said = {
        "name": None if parts.full is None else title_of(parts.full),
        "organization": None if parts.organization is None else title_of(parts.organization),
        "basename": parts.basename,
        "finetune": parts.finetune,
        "version": parts.version,
        "size_label": parts.size_label,
    }
    for key, value in said.items():
        if value is not None:
            found.setdefault(key, value)


def _listed(card: dict[str, Any], places: Iterable[str]) -> list[object]:
    return _as_entries(next(card[place] for place in places if place in card))


def _as_entries(value: object) -> list[object]:
    return [value] if isinstance(value, str) else as_list(value)


def _add_origins(keys: Keys, origin: str, entries: list[object], parameters: int) -> None:
    keys.set(f"general.{origin}.count", "u32", len(entries))
    for number, entry in enumerate(entries):
        said = _of_name(entry, parameters) if isinstance(entry, str) else as_object(entry)
        for part in _OF_ORIGIN:
            keys.set(f"general.{origin}.{number}.{part}", "string", _plain(said.get(part)))


def _of_name(written: str, parameters: int) -> dict[str, object]:
    """Return what the address or the name of a repository says."""
    found: dict[str, object] = {}
    name = written
    is_address = written.startswith(("http://", "https://", "ssh://"))
    if is_address:
        found["repo_url"] = written
        hub = _HUB.match(written)
        if hub is None:
            return found
        name = hub[1]
    parts = parts_of(name, parameters)
    learned: dict[str, str] = {}
    _learn(learned, parts)
    found |= {key: learned[key] for key in ("name", "organization", "version") if key in learned}
    if not is_address and parts.organization is not None:
        found["repo_url"] = f"https://huggingface.co/{parts.organization}/{parts.full}"
    return found


def _read_card(folder: Path) -> tuple[dict[str, Any], tuple[Text, ...]]:
    """Return what the head of the model card says, and a note if it is there and cannot be read."""
    try:
        with (folder / _CARD).open("rb") as file:
            written = file.read(_MAX_CARD).decode("utf-8", "replace")
    except OSError:
        return {}, ()
    lines = written.splitlines()
    if not lines or lines[0] != "---":
        return {}, ()
    end = lines.index("---", 1) if "---" in lines[1:] else len(lines)
    head = "\n".join(lines[1:end]) + "\n"
    try:
        return _parse(head.replace("- no\n", '- "no"\n').replace("\t", "  ")), ()
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError):
        return {}, (text("The head of {name} cannot be read; what it says was not taken over.", name=_CARD),)


def _parse(head: str) -> dict[str, Any]:
    """Read YAML that has plain values only: no objects, no references, nothing nested without end.

    Raises:
        YAMLError: It has something else, or is none.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    events = cast("Iterable[object]", yaml.parse(head, Loader=loader))  # pyright: ignore[reportUnknownMemberType]
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _MAX_NESTING:
            raise yaml.YAMLError
    found: object = yaml.load(head, Loader=loader)  # noqa: S506  # a safe loader in either case
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
