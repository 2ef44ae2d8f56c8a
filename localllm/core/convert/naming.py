"""What the name of a model says of it, by the rules of llama.cpp's converter (gguf-py, metadata.py)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

_VERSION = re.compile(r"(?:v|iter)?\d+(?:[.]\d+)*", re.IGNORECASE)
_TYPE = re.compile(r"i?q\d(?:_\w)*|b?fp?(?:16|32)", re.IGNORECASE)
_SIZE = re.compile(
    r"(?:(?:[A]|\d+[x])?\d+(?:[._]\d+)?[KMBT][\d]?|small|mini|medium|large|x?xl)", re.IGNORECASE
)
_FINETUNE = re.compile(r"chat|instruct|vision|lora", re.IGNORECASE)
_NUMBER_LIKE = re.compile(r"v\d+(?:\.\d+)*$|\d.*$")
_LETTERS = " KMBT"
_LONGEST = 1000  # characters of a name that is looked at

_Mark = Literal["basename", "size_label", "finetune", "version", "type"]


@dataclass(frozen=True, slots=True)
class NameParts:
    """The parts of a model's name; None where it has none."""

    full: str | None = None
    organization: str | None = None
    basename: str | None = None
    finetune: str | None = None
    version: str | None = None
    size_label: str | None = None


@dataclass(slots=True)
class _Word:
    text: str
    marks: set[_Mark]


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """The weights of a model: all, those that every token uses, those of one expert, and how many experts.

    Less than none in all are those that an adapter changes.
    """

    total: int = 0
    shared: int = 0
    of_one_expert: int = 0
    experts: int = 0

    @classmethod
    def of(cls, tensors: Iterable[tuple[str, tuple[int, ...]]]) -> ParameterCounts:
        """Count the tensors of a file by GGUF name and shape, outermost dimension first."""
        total = shared = of_one_expert = experts = stacks = 0
        for name, shape in tensors:
            size = _product(shape)
            total += size
            if "_exps." in name and len(shape) >= 3:
                held = shape[-2] if ".bias" in name else shape[-3]
                of_one_expert += size // held
                experts += held
                stacks += 1
            else:
                shared += size
        return cls(total, shared, of_one_expert, experts // stacks if stacks else 0)

    @property
    def label(self) -> str:
        """The size as names have it: "135M", "8x7.2B"."""
        if self.experts:
            return f"{self.experts}x{_rounded(self.shared + self.of_one_expert)}"
        return _rounded(self.total)


def parts_of(identifier: str, parameters: int = 0) -> NameParts:
    """Take a name apart.

    Args:
        identifier: "organization/name", a name, or a folder's name; one with a space is taken whole.
        parameters: Of the model, against which a size in the name is checked; 0 if unknown, and less for an
            adapter that changes so many.
    """
    if " " in identifier:
        return NameParts(identifier)
    organization, slash, full = identifier.partition("/")
    if not slash:
        organization, full = "", identifier
    words = [_Word(word, set()) for word in full[:_LONGEST].split("-") if word]
    for number, word in enumerate(words):
        _mark(word, parameters, first=number == 0)
    _prefer_numbers(words)
    _mark_basename(words)
    joined = {
        mark: "-".join(word.text for word in words if mark in word.marks) or None
        for mark in ("basename", "finetune")
    }
    sizes = dict.fromkeys(word.text for word in words if "size_label" in word.marks)
    version = "-".join(w.text for w in words if "version" in w.marks and "basename" not in w.marks) or None
    size_label = "-".join(sizes) or None
    tells = size_label is not None or joined["finetune"] is not None or version is not None
    return NameParts(
        full,
        organization if slash and not organization.startswith(".") else None,
        joined["basename"] if tells else None,
        joined["finetune"],
        version,
        size_label,
    )


def title_of(name: str) -> str:
    """Return a name in title case; acronyms and version numbers stay."""
    words = name.strip().replace("-", " ").split()
    return " ".join(w.title() if w.islower() and not _NUMBER_LIKE.match(w) else w for w in words)


def _mark(word: _Word, parameters: int, *, first: bool) -> None:
    if _VERSION.fullmatch(word.text):
        word.marks.add("version")
    elif _TYPE.fullmatch(word.text):
        word.marks.add("type")
        word.text = word.text.upper()
    elif not first and _SIZE.fullmatch(word.text):
        _mark_size(word, parameters)
    elif not first and _FINETUNE.fullmatch(word.text):
        word.marks.add("type" if parameters < 0 and word.text.lower() == "lora" else "finetune")


def _mark_size(word: _Word, parameters: int) -> None:
    """Mark a size; one that is far from the model's is the length of its context."""
    size = word.text.replace("_", ".")
    if size[-1].isdecimal():  # 7b1
        size = f"{size[:-2]}.{size[-1]}{size[-2]}"
    if len(size) > 1 and size[-2].isdecimal() and size[-1] in "kmbt":
        size = size[:-1] + size[-1].upper()
    if parameters and _is_far(size, parameters):
        size = size[:-1] + size[-1].lower()
        word.marks.add("finetune")
    else:
        word.marks.add("size_label")
    word.text = size


def _is_far(size: str, parameters: int) -> bool:
    try:
        said = float(size[:-1]) * pow(1000, _LETTERS.find(size[-1]))
    except ValueError:
        return False
    if parameters < 0:  # an adapter may leave most of a model alone
        return said < -parameters // 8
    return abs(said - parameters) > 7 * parameters // 8


def _prefer_numbers(words: list[_Word]) -> None:
    """Let a size in words count only where there is none in numbers."""
    sizes = [word for word in words if "size_label" in word.marks]
    if any(letter.isdecimal() for word in sizes for letter in word.text):
        for word in sizes:
            if word.text.isalpha():
                word.marks.remove("size_label")


def _mark_basename(words: list[_Word]) -> None:
    """Mark what the name begins with; what nothing is known of after that belongs to the finetune."""
    beginning = True
    for word in words:
        beginning = beginning and ((not word.marks and word.text[0].isalpha()) or "version" in word.marks)
        if beginning:
            word.marks.add("basename")
        elif not word.marks:
            word.marks.add("finetune")
    for word in reversed(words):
        if "basename" not in word.marks or len(word.marks) == 1:
            break
        word.marks.remove("basename")


def _rounded(count: int) -> str:
    """Return a number of weights with a letter and two digits at least."""
    scaled, letter = count * 1e-3, "K"
    for limit, scale, name in ((1e12, 1e-12, "T"), (1e9, 1e-9, "B"), (1e6, 1e-6, "M")):
        if count > limit:
            scaled, letter = count * scale, name
            break
    decimals = max(2 - len(str(round(scaled)).lstrip("0")), 0)
    return f"{scaled:.{decimals}f}{letter}"


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product
