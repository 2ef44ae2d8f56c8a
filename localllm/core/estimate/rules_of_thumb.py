"""The formulas that courses teach, beside the exact figure, with why they differ.

Memory = parameters × bytes × 1.2, where the 20 % stand for activations, cache and buffers, and
KV cache = 2 × layers × d_model × tokens × sequences × bytes. Both are older than grouped-query attention.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.texts import Bytes, Number, Text, plural, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.core.estimate.records import Estimate
    from localllm.core.shape import ModelShape

OVERHEAD = 1.2
CACHE_BYTES = 2
_BITS = re.compile(r"(?:I?Q|TQ|MXFP|F|BF|FP)(\d+)")


@dataclass(frozen=True)
class Rule:
    """One formula with its result in bytes, the estimate of the same thing (`exact`), and why they differ."""

    name: Text
    formula: Text
    result: int
    exact: int
    why: Text

    @property
    def error(self) -> float:
        """(rule - exact) / exact."""
        return (self.result - self.exact) / max(1, self.exact)


def rules_of_thumb(estimate: Estimate) -> tuple[Rule, ...]:
    """Return the rules for a model; none where its dimensions are not known."""
    shape = estimate.subject.shape
    return tuple(_rules(estimate, shape)) if shape is not None else ()


def nominal_bytes(quant: str) -> float:
    """Return the bytes per weight that a quantization's name suggests: 0.5 for Q4_K_M, 2 for F16."""
    found = _BITS.search(quant.upper())
    return int(found[1]) / 8 if found else 2.0


def _rules(estimate: Estimate, shape: ModelShape) -> Iterator[Rule]:
    memory, settings, subject = estimate.memory, estimate.settings, estimate.subject
    per_weight = nominal_bytes(subject.quant)
    weights = int(shape.parameters * per_weight * OVERHEAD)
    cache = int(
        2 * shape.layers * shape.embedding_width * settings.context_length * settings.sequences * CACHE_BYTES
    )
    billions = shape.parameters / 1e9
    yield Rule(
        text("Memory"),
        text(
            "{billions}·10⁹ × {bytes} × {overhead}",
            billions=Number(billions, 2),
            bytes=_shortest(per_weight),
            overhead=_shortest(OVERHEAD),
        ),
        weights,
        memory.total,
        _why_memory(estimate, shape, per_weight),
    )
    if shape.is_encoder:
        return  # it keeps no cache
    tokens = f"{settings.context_length}" + (f" × {settings.sequences}" if settings.sequences > 1 else "")
    yield Rule(
        text("KV cache"),
        Text(f"2 × {shape.layers} × {shape.embedding_width} × {tokens} × {CACHE_BYTES}"),
        cache,
        memory.kv,
        _why_cache(shape),
    )
    yield Rule(
        text("Both together"),
        Text("Σ"),
        weights + cache,
        memory.total,
        text("The cache is counted twice then: the 20 % were to cover it."),
    )


def _shortest(number: float) -> Number:
    return Number(number, len(f"{number:g}".partition(".")[2]))


def _why_memory(estimate: Estimate, shape: ModelShape, per_weight: float) -> Text:
    bits = 8 * estimate.subject.weights / max(1, shape.parameters)
    beside = estimate.memory.total - estimate.subject.weights
    return text(
        "{quant} takes {bits} bits per weight here, not {nominal}: scales are stored too, and some matrices "
        "stay finer. What is not weights is {beside}, {percent} % of them rather than 20 %: it grows with "
        "the context, not with the model.",
        quant=estimate.subject.quant,
        bits=Number(bits, 2),
        nominal=Number(8 * per_weight, 0),
        beside=Bytes(beside),
        percent=Number(100 * beside / max(1, estimate.subject.weights)),
    )


def _why_cache(shape: ModelShape) -> Text:
    if shape.mla_width:
        return text(
            "This model caches one compressed vector of {width} numbers per layer and token (MLA) in place "
            "of keys and values.",
            width=shape.mla_width,
        )
    if shape.recurrent_layers:
        return plural(
            shape.full_layers,
            "Only one of its {layers} layers has a cache; the others keep a state of fixed size.",
            "Only {count} of its {layers} layers have a cache; the others keep a state of fixed size.",
            layers=shape.layers,
        )
    queries = plural(shape.heads, "one query head has", "{count} query heads share")
    cached = plural(shape.kv_heads, "one head", "{count} heads")
    if shape.window_layers:
        return plural(
            shape.window_layers,
            "One of its {layers} layers looks back at the last {tokens} tokens only, and {queries} {cached} "
            "of keys and values.",
            "{count} of its {layers} layers look back at the last {tokens} tokens only, and {queries} "
            "{cached} of keys and values.",
            layers=shape.layers,
            tokens=shape.sliding_window,
            queries=queries,
            cached=cached,
        )
    return text(
        "Here {queries} {heads} of keys and values of {length} numbers each: "
        "{cached} are cached per layer and token where the formula takes 2 × {width}.",
        queries=queries,
        heads=cached,
        length=shape.key_length,
        cached=shape.kv_heads * (shape.key_length + shape.value_length),
        width=shape.embedding_width,
    )
