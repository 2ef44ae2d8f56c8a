"""Ollama's Modelfile: read into a load profile with its system prompt and sampling, and written from one.

The grammar is that of Ollama's parser: an instruction a line, names in any case; a value may stand in
quotation marks or in three of them over several lines, without escapes; `#` begins a comment line.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from localllm.core.library.model import LoadProfile
from localllm.engine.protocol import Adapter, LoadSettings, Sampling
from localllm.errors import UsageError
from localllm.texts import Text, text

MAX_BYTES = 1 << 20
_TRIPLE = '"""'
_INSTRUCTIONS = frozenset(
    {"from", "parameter", "system", "template", "adapter", "quantize", "message", "license", "requires"}
)
_ROLES = ("system", "user", "assistant")
_LOADING = {
    "num_ctx": "context_length",
    "num_gpu": "gpu_layers",
    "num_thread": "threads",
    "num_batch": "batch",
}
_SAMPLING = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "repeat_penalty",
    "repeat_last_n": "repeat_last_n",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "num_predict": "max_tokens",
}
_BOUNDS: dict[str, tuple[float, float]] = {
    "context_length": (256, 1 << 24),
    "gpu_layers": (-1, 10_000),
    "threads": (0, 4096),
    "batch": (1, 1 << 20),
    "temperature": (0, 1e9),
    "top_k": (0, (1 << 31) - 1),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "repeat_penalty": (0, 1e9),
    "repeat_last_n": (0, (1 << 31) - 1),
    "presence_penalty": (-100, 100),
    "frequency_penalty": (-100, 100),
    "seed": (-1, (1 << 32) - 1),
    "max_tokens": (-1, (1 << 31) - 1),
}


@dataclass(frozen=True)
class Modelfile:
    """What a Modelfile says; `parameters` and `messages` (role, content) in their order."""

    base: str
    parameters: tuple[tuple[str, str], ...] = ()
    system: str = ""
    template: str = ""
    adapters: tuple[str, ...] = ()
    quantize: str = ""
    messages: tuple[tuple[str, str], ...] = ()
    licences: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportedProfile:
    """What a Modelfile means here; `notices` say what could not be taken over."""

    profile: LoadProfile
    notices: tuple[Text, ...] = ()


def read_modelfile(path: Path) -> Modelfile:
    """Read a Modelfile.

    Raises:
        UsageError: It cannot be read, or is none.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageError(text("“{path}” is too long for a Modelfile.", path=str(path)))
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return parse_modelfile(content.decode(encoding))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(text("“{path}” cannot be read as a Modelfile.", path=str(path))) from error


def parse_modelfile(source: str) -> Modelfile:
    """Read the text of a Modelfile.

    Raises:
        UsageError: With the number of the line that is wrong.
    """
    found = Modelfile("")
    lines = source.replace("\r\n", "\n").split("\n")
    number = 0
    while number < len(lines):
        begin, line = number, lines[number]
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, rest = _split_word(line)
        if word.lower() not in _INSTRUCTIONS:
            raise _wrong(begin, text("“{word}” is no instruction", word=word[:40]))
        head = ""
        if word.lower() in ("parameter", "message"):
            head, rest = _split_word(rest)
        value, number = _read_value(lines, begin, number, rest)
        found = _with(found, word.lower(), head, value, begin)
    if not found.base:
        raise UsageError(text("The Modelfile does not say which model it is for (FROM)."))
    return found


def format_modelfile(modelfile: Modelfile) -> str:
    """Write a Modelfile.

    Raises:
        UsageError: A text has a line that ends in three quotation marks, which the format cannot hold.
    """
    lines = [f"FROM {_quoted(modelfile.base)}"]
    lines += [f"PARAMETER {name} {_quoted(value)}" for name, value in modelfile.parameters]
    for word, value in (
        ("SYSTEM", modelfile.system),
        ("TEMPLATE", modelfile.template),
        ("QUANTIZE", modelfile.quantize),
    ):
        lines += [f"{word} {_quoted(value)}"] if value else []
    lines += [f"ADAPTER {_quoted(adapter)}" for adapter in modelfile.adapters]
    lines += [f"MESSAGE {role} {_quoted(content)}" for role, content in modelfile.messages]
    lines += [f"LICENSE {_quoted(licence)}" for licence in modelfile.licences]
    return "\n".join(lines) + "\n"


def as_profile(modelfile: Modelfile, name: str) -> ImportedProfile:
    """Turn a Modelfile into a load profile."""
    load: dict[str, Any] = {}
    sampling: dict[str, Any] = {}
    stop: list[str] = []
    notices: list[Text] = []
    for key, value in modelfile.parameters:
        if key == "stop":
            stop.append(value)
            continue
        place, kind = (load, LoadSettings) if key in _LOADING else (sampling, Sampling)
        field_name = _LOADING.get(key) or _SAMPLING.get(key)
        number = _number(value, kind, field_name) if field_name else None
        if field_name is None or number is None:
            notices.append(text("The parameter {name} {value} was left out.", name=key, value=value[:40]))
        else:
            place[field_name] = number
    if modelfile.template:
        sentence = "Its template is written for Ollama; the template in the model's file is used instead."
        notices.append(text(sentence))
    usable = [name for name in modelfile.adapters if Path(name).is_absolute() and name.endswith(".gguf")]
    if usable:
        load["adapters"] = tuple(Adapter(name) for name in usable)
    if left := [name for name in modelfile.adapters if name not in usable]:
        notices.append(text("Its adapters were left out: {names}.", names=", ".join(left)))
    if modelfile.messages:
        notices.append(text("Its example messages were left out."))
    if modelfile.quantize:
        notices.append(text("The wish to quantize to {type} was left out.", type=modelfile.quantize))
    chosen = replace(Sampling(), **sampling, stop=tuple(stop)) if sampling or stop else None
    profile = LoadProfile(name, replace(LoadSettings(), **load), chosen, modelfile.system, modelfile.template)
    return ImportedProfile(profile, tuple(notices))


def as_modelfile(base: str, profile: LoadProfile, licence: str = "") -> Modelfile:
    """Turn a load profile into a Modelfile; only what differs from our defaults is written."""
    parameters: list[tuple[str, str]] = []
    for names, chosen, usual in (
        (_LOADING, profile.load, LoadSettings()),
        (_SAMPLING, profile.sampling or Sampling(), Sampling()),
    ):
        for key, field_name in names.items():
            value = getattr(chosen, field_name)
            if value != getattr(usual, field_name):
                parameters.append((key, f"{value:g}" if isinstance(value, float) else str(value)))
    parameters += [("stop", stop) for stop in (profile.sampling.stop if profile.sampling else ())]
    licences = (licence,) if licence else ()
    adapters = tuple(adapter.path for adapter in profile.load.adapters)
    return Modelfile(
        base, tuple(parameters), profile.system_prompt, profile.template, adapters, licences=licences
    )


def _with(found: Modelfile, word: str, head: str, value: str, line: int) -> Modelfile:
    single = {"from": "base", "system": "system", "template": "template", "quantize": "quantize"}
    several = {"adapter": "adapters", "license": "licences"}
    if word in single:
        return replace(found, **{single[word]: value})
    if word in several:
        kept: tuple[str, ...] = getattr(found, several[word])
        return replace(found, **{several[word]: (*kept, value)})
    if word == "parameter" and head:
        return replace(found, parameters=(*found.parameters, (head.lower(), value)))
    if word == "message" and head.lower() in _ROLES:
        return replace(found, messages=(*found.messages, (head.lower(), value)))
    if word == "requires":
        return found
    raise _wrong(line, text("“{word}” needs a name and a value", word=word.upper()))


def _split_word(line: str) -> tuple[str, str]:
    """Return the first word and the rest as it is: a text over several lines may end in spaces here."""
    words = line.split(None, 1)
    return (words[0], words[1]) if len(words) == 2 else (line.strip(), "")


def _read_value(lines: list[str], begin: int, number: int, first: str) -> tuple[str, int]:
    """Return the value, and the line after it."""
    held = first
    while (value := _unquoted(held.strip())) is None:
        if number >= len(lines):
            raise _wrong(begin, text("its quotation marks are never closed"))
        held += "\n" + lines[number]
        number += 1
    if not value and not held.strip():
        raise _wrong(begin, text("it has no value"))
    return value, number


def _unquoted(value: str) -> str | None:
    """Return the value without its quotation marks; None while they are open."""
    for mark in (_TRIPLE, '"'):
        if value.startswith(mark):
            closed = len(value) >= 2 * len(mark) and value.endswith(mark)
            return value[len(mark) : -len(mark)] if closed else None
    return value


def _quoted(value: str) -> str:
    lines = value.split("\n")
    if any(line.rstrip().endswith(_TRIPLE) for line in lines[:-1]):
        raise UsageError(
            text("A Modelfile cannot hold a text with a line that ends in three quotation marks."),
            hint=text("Change the text, then try again."),
        )
    plain = len(lines) == 1 and value == value.strip() and value and not value.startswith('"')
    return value if plain and "\r" not in value else f"{_TRIPLE}{value}{_TRIPLE}"


def _number(value: str, kind: type[LoadSettings | Sampling], name: str) -> float | None:
    usual = next(one.default for one in fields(kind) if one.name == name)
    try:
        number = float(value) if isinstance(usual, float) else int(value)
    except ValueError:
        return None
    low, high = _BOUNDS[name]
    return number if low <= number <= high else None


def _wrong(line: int, reason: Text) -> UsageError:
    return UsageError(
        text("Line {number} of the Modelfile is wrong: {reason}.", number=line + 1, reason=reason)
    )
