"""The terms that window and commands use, in each language, and what each quantization costs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from localllm.core.matching import distance, plain
from localllm.errors import UsageError
from localllm.texts import Bytes, Number, Text, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from localllm.core.catalogue import Catalogue

REFERENCE = (
    "llama-3.1-8b-instruct"  # of the catalogue; the published divergences are of a model of this shape
)


@dataclass(frozen=True)
class Term:
    """One term; `short` is one sentence or two, `see` names related ones by their ids."""

    id: str
    name: str
    short: str
    more: str
    see: tuple[str, ...] = ()


@dataclass(frozen=True)
class Level:
    """What one quantization costs on the reference model.

    Attributes:
        bits: Bits per weight, over all tensors.
        size: Bytes of all tensors.
        faster: How many times fewer bytes than F16 are read for each token: where the memory's speed is the
            limit, a model writes that much faster at most.
        divergence: Mean Kullback-Leibler divergence from 16-bit weights, nats per token, as published.
        when: When to use it.
        source: Where the divergence was published.
    """

    name: str
    bits: float
    size: int
    faster: float
    divergence: float
    when: str
    source: str


class Glossary:
    """The terms in one language, in alphabetical order."""

    def __init__(self, terms: Sequence[Term], when: Mapping[str, str]) -> None:
        self.terms = tuple(sorted(terms, key=lambda term: plain(term.name)))
        self._when = when

    @classmethod
    def load(cls, path: Path, language: str) -> Glossary:
        """Read `glossary.json`; a language that it does not have is English."""
        data = cast("dict[str, Any]", json.loads(path.read_bytes()))
        terms = [
            Term(row["id"], said["name"], said["short"], said["more"], tuple(row["see"]))
            for row in data["terms"]
            for said in (row.get(language, row["en"]),)
        ]
        return cls(terms, {name: said.get(language, said["en"]) for name, said in data["when"].items()})

    def get(self, term_id: str) -> Term:
        """Return a term by its id, which is the same in every language."""
        return next(term for term in self.terms if term.id == term_id)

    def find(self, words: str) -> Term:
        """Return the term that is meant.

        Raises:
            UsageError: There is none.
        """
        found = self.search(words)
        if not found:
            raise UsageError(
                text("The glossary has no “{term}”.", term=words),
                hint=text("“localllm glossary” lists the terms."),
            )
        return found[0]

    def search(self, words: str) -> list[Term]:
        """Return the terms that match, the nearest first; all of them in their order for no words."""
        typed = plain(words)
        if not typed.strip():
            return list(self.terms)
        far = [(distance(typed, [plain(term.name), term.id.replace("-", " ")]), term) for term in self.terms]
        near = sorted((one for one in far if one[0] is not None), key=lambda one: cast("int", one[0]))
        named = [term for _far, term in near]
        return named + [term for term in self.terms if term not in named and _mentions(term, typed)]

    def levels(self, catalogue: Catalogue) -> list[Level]:
        """Return every quantization of the table with what it costs, the largest first."""
        model = catalogue.model(REFERENCE)
        if model is None:
            return []
        weights = model.shape.parameters
        whole = 0
        levels: list[Level] = []
        for name in catalogue.quants.names:
            quant = catalogue.quants.get(name)
            if quant is None or not quant.divergence:  # made with it: nothing to compare
                continue
            size = quant.weight_bytes(model.shape)
            whole = whole or size
            bits, faster = 8 * size / weights, whole / size
            when = self._when.get(name, "")
            levels.append(Level(name, bits, size, faster, quant.divergence, when, quant.source))
        return sorted(levels, key=lambda level: -level.size)


LEVEL_TITLES = (
    text("Quantization"),
    text("Bits per weight"),
    text("Memory (8B)"),
    text("Speed, at most"),
    text("KL divergence"),
    text("When to use it"),
)
LEVELS_NOTE = text(
    "Memory is that of the weights of Llama 3.1 8B; the KV cache comes on top. Speed is against F16 where "
    "the memory's speed is the limit, as when an answer is written: a model of half the size writes twice "
    "as fast at most. The divergence is that of Llama 3 8B as llama.cpp's authors measured it; smaller "
    "models lose more, larger ones less."
)


def level_cells(level: Level) -> tuple[Text | str, ...]:
    """Return what a row of the table of levels says, under `LEVEL_TITLES`."""
    return (
        level.name,
        text("{number}", number=Number(level.bits, 1)),
        text("{size}", size=Bytes(level.size)),
        text("{times} ×", times=Number(level.faster, 1)),
        text("{number}", number=Number(level.divergence, 4)),
        level.when,
    )


def _mentions(term: Term, typed: str) -> bool:
    said = plain(f"{term.short} {term.more}")
    return all(word in said for word in typed.split())
