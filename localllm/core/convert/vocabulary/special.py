"""Which tokens begin, end and separate texts, whether they are added, and what the tokenizer normalizes.

The order of what is asked is llama.cpp's (gguf-py, vocab.py): the tokenizer's own post-processor decides what
is added, the texts of tokenizer_config.json are looked up among the added tokens of tokenizer.json, and only
then do the numbers of config.json count. Keys are written in the order in which they were found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localllm.core.convert.small_files import as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.gguf.keys import Keys

ROLES: tuple[str, ...] = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_KEYS = {
    "bos": "bos",
    "eos": "eos",
    "unk": "unknown",
    "sep": "seperator",  # GGUF's own spelling
    "pad": "padding",
    "mask": "mask",
    "eot": "eot",
    "eom": "eom",
}
_ADDED = ("bos", "eos", "sep")


@dataclass(slots=True)
class SpecialTokens:
    """What was found; both tables in the order of finding.

    Attributes:
        ids: Numbers by role.
        added: Whether a role is put around texts.
        normalizer: Flags of the normalizer.
        left_out: Roles whose number is outside the vocabulary.
    """

    ids: dict[str, int] = field(default_factory=dict[str, int])
    added: dict[str, bool] = field(default_factory=dict[str, bool])
    normalizer: dict[str, bool] = field(default_factory=dict[str, bool])
    left_out: list[str] = field(default_factory=list[str])

    def offer(self, role: str, number: object, size: int) -> None:
        """Take a number for a role that has none yet, if it is one of the vocabulary's."""
        if not isinstance(number, int):
            return
        if not 0 <= number < size:
            self.left_out.append(role)
        else:
            self.ids.setdefault(role, number)

    def set_ids(self, keys: Keys) -> None:
        """Set the keys of the numbers and of what is added."""
        for role, number in self.ids.items():
            if role in _KEYS:
                keys.set(f"tokenizer.ggml.{_KEYS[role]}_token_id", "u32", number)
        for role, wanted in self.added.items():
            if role in _ADDED:
                keys.set(f"tokenizer.ggml.add_{role}_token", "bool", wanted)

    def set_normalizer(self, keys: Keys) -> None:
        """Set the keys of the normalizer."""
        for name in ("lowercase", "strip_accents"):
            keys.set(f"tokenizer.ggml.normalizer.{name}", "bool", self.normalizer.get(name))


def find_special_tokens(
    tokenizer: Mapping[str, Any] | None,
    tokenizer_config: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    size: int,
) -> SpecialTokens:
    """Find the special tokens.

    Args:
        tokenizer: tokenizer.json.
        tokenizer_config: tokenizer_config.json.
        config: config.json as it stands, without defaults.
        size: The number of tokens.
    """
    found = SpecialTokens()
    named = _Named(dict(tokenizer_config)) if tokenizer_config else _Named(None)
    if tokenizer:
        _read_normalizer(as_object(tokenizer.get("normalizer")), found.normalizer)
        named.stand_in("bos", "cls")
        named.stand_in("eos", "sep")
        _read_post_processor(as_object(tokenizer.get("post_processor")), named, found.added)
    if named.config:
        numbers = _numbers_of_added(tokenizer)
        for role in named.roles:
            wanted = named.config.get(f"add_{role}_token")
            if isinstance(wanted, bool):
                found.added.setdefault(role, wanted)
            content = _content(named.config.get(f"{role}_token"))
            found.offer(role, numbers.get(content) if content is not None else None, size)
    inner = as_object(config.get("text_config"))
    for role in named.roles:
        number = config.get(f"{role}_token_id")
        found.offer(role, inner.get(f"{role}_token_id") if number is None else number, size)
    return found


class _Named:
    """The tokens that tokenizer_config.json names, as far as the post-processor does not know better.

    Attributes:
        config: tokenizer_config.json with what was learned; None if it is missing or empty.
        now: What stands for bos, eos, cls and sep while the post-processor is read.
    """

    def __init__(self, config: dict[str, Any] | None) -> None:
        self.config = config
        self.roles = list(ROLES)
        self.now: dict[str, Any] = {r: (config or {}).get(f"{r}_token") for r in ("bos", "eos", "cls", "sep")}

    def stand_in(self, role: str, other: str) -> None:
        """Let another role's token stand for one that has none."""
        if self.config and not self.now[role] and self.now[other]:
            self.name(role, self.now[other])

    def name(self, role: str, token: object) -> None:
        """Write down what a role's token is."""
        if self.config is not None:
            self.config[f"{role}_token"] = token
        self.now[role] = token


def _numbers_of_added(tokenizer: Mapping[str, Any] | None) -> dict[str, object]:
    """Return the number of each added token; the first of a text counts."""
    numbers: dict[str, object] = {}
    for entry in as_list((tokenizer or {}).get("added_tokens")):
        token = as_object(entry)
        if isinstance(content := token.get("content"), str):
            numbers.setdefault(content, token.get("id"))
    return numbers


def _content(entry: object) -> str | None:
    content = entry if isinstance(entry, str) else as_object(entry).get("content")
    return content if isinstance(content, str) else None


def _read_normalizer(normalizer: Mapping[str, Any], found: dict[str, bool]) -> None:
    match normalizer.get("type"):
        case "Lowercase":
            found["lowercase"] = True
        case "StripAccents":
            found["strip_accents"] = True
        case "BertNormalizer":
            for name in ("lowercase", "strip_accents"):
                if isinstance(value := normalizer.get(name), bool):
                    found[name] = value
        case "Sequence":
            for part in as_list(normalizer.get("normalizers")):
                _read_normalizer(as_object(part), found)
        case _:
            pass


def _read_post_processor(whole: Mapping[str, Any], named: _Named, added: dict[str, bool]) -> None:
    for entry in as_list(whole.get("processors")) if "processors" in whole else [whole]:
        processor = as_object(entry)
        match processor.get("type"):
            case "ByteLevel":
                added.setdefault("bos", False)
                added.setdefault("eos", False)
            case "RobertaProcessing":
                added |= {"bos": True, "eos": True, "sep": True}
                for role, other in (("cls", "bos"), ("sep", "eos")):
                    if named.config and not named.now[role]:
                        pair = as_list(processor.get(role)) or [named.now[other]]
                        named.name(role, pair[0])
            case "TemplateProcessing":
                _read_template(processor, named, added)
            case _:
                pass


def _read_template(processor: Mapping[str, Any], named: _Named, added: dict[str, bool]) -> None:
    single = as_list(processor.get("single"))
    first = last = None
    if len(single) > 1:
        if first := _special(single[0]):
            _read_first(first, named)
            added["bos"] = first in (named.now["bos"], named.now["cls"])
        if last := _special(single[-1]):
            _read_last(last, named)
            added["eos"] = last == named.now["eos"]
    pair = as_list(processor.get("pair"))
    if pair and first and _special(pair[0]) == first:
        pair = pair[1:]
    if pair and last and _special(pair[-1]) == last:
        pair = pair[:-1]
    if len(pair) > 2 and (_sequence(pair[0]), _sequence(pair[-1])) == ("A", "B"):
        _read_between(pair[1:-1], named, added, ends=bool(last))


def _read_first(first: str, named: _Named) -> None:
    """Learn the beginning of a text: the token that stands there is bos, or cls if there is another bos."""
    if not named.config:
        named.now["bos"] = first
    elif first not in (named.now["bos"], named.now["cls"]):
        for role in ("bos", "cls"):
            if not named.now[role]:
                named.name(role, first)


def _read_last(last: str, named: _Named) -> None:
    """Learn the end of a text: the token that stands there is eos, and what was named eos ends a turn."""
    if not named.config:
        named.now["eos"] = last
    elif last != named.now["eos"]:
        role = next((role for role in ("eot", "eom") if role not in named.roles), None)
        if role is not None:
            named.roles.append(role)
            named.config[f"{role}_token"] = named.now["eos"]
        named.name("eos", last)


def _read_between(between: Sequence[object], named: _Named, added: dict[str, bool], *, ends: bool) -> None:
    """Learn whether a separator is put between two texts."""
    separators = (named.now["sep"], named.now["eos"])
    first = _special(between[0])
    second = _special(between[1]) if len(between) == 2 else None
    added["sep"] = bool((first and first in separators and not ends) or (second and second in separators))
    if added["sep"] and not named.now["sep"] and named.config:
        named.config["sep_token"] = named.now["eos"]


def _special(entry: object) -> str | None:
    number = as_object(as_object(entry).get("SpecialToken")).get("id")
    return number if isinstance(number, str) else None


def _sequence(entry: object) -> object:
    return as_object(as_object(entry).get("Sequence")).get("id")
