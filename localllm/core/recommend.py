"""Which model, in which quantization, with which settings, on a given computer.

Every model that suits the wish is placed and timed in every quantization. *Usable* is what fits into the
memory that is available now and answers at reading speed (6 tokens/s) or faster. The three picks come
from the usable ones:

- best: the highest quality;
- balanced: the highest quality at 1.4 times the speed of best, and 9 tokens/s at least;
- fast: the highest quality at 1.4 times the speed of balanced, and 24 tokens/s at least.

They are three different models where there are three; one that differs from another only in its release
does not count. Quality is ability after quantization (`core.quality`), so a 4-bit file of a better model
beats an 8-bit file of a worse one; each doubling of speed up to 30 tokens/s counts as one point, so that
nobody waits twice as long for nothing, and taking nearly all that is free costs one. Where nothing is usable
now, what fits after other programs are closed is picked, and the reason says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from localllm.core.fit import Budgets, FitSettings, budgets_of, place_within
from localllm.core.quality import Quality, after_quantization
from localllm.core.speed import predict_speed
from localllm.texts import Bytes, Number, Text, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from localllm.core.catalogue import Catalogue, CatalogueModel, QuantFile
    from localllm.core.fit import MemoryEstimate, Placement, Verdict
    from localllm.core.machine import Machine
    from localllm.core.quality import Use
    from localllm.core.speed import SpeedEstimate

READING_SPEED = 6.0  # tokens/s
COMFORTABLE, QUICK = 9.0, 24.0
FASTER, NOTICEABLY_FASTER = 1.4, 1.15  # times the pick before
ENOUGH = 30.0  # faster than this nobody reads
CROWDED = 0.9  # of what is free
PICK_POINTS, ROW_POINTS = 1.0, 3.0  # per doubling of speed, among the picks and in the table
UNKNOWN_PROJECTOR = 900 * 10**6  # bytes; the projectors whose size is known take 0.7 to 0.9 GB
GENERAL: frozenset[Use] = frozenset({"code"})  # uses that every chat model serves too
FITS_NOW = ("fits", "tight", "partly_on_cpu")


@dataclass(frozen=True)
class Wish:
    """What somebody wants: a use, and a context in tokens."""

    use: Use = "chat"
    context_length: int = 8192


@dataclass(frozen=True)
class RecommendedSettings:
    """How to load the model."""

    threads: int
    context_length: int
    gpu_layers: int
    experts_on_cpu: bool
    flash_attention: bool = True
    outputs_max: int = 1
    swa_full: bool = False
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"


@dataclass(frozen=True)
class Choice:
    """One model in one quantization on this computer.

    Attributes:
        size: Bytes of the file.
        quality: After quantization.
        reason: Why this one, in a sentence.
        why_not: What speaks against it; None for what is usable.
    """

    model: CatalogueModel
    quant: str
    size: int
    memory: MemoryEstimate
    placement: Placement
    speed: SpeedEstimate
    quality: Quality
    verdict: Verdict
    settings: RecommendedSettings
    reason: Text
    why_not: Text | None


@dataclass(frozen=True)
class Recommendation:
    """Three picks, and one row for each model: the usable ones first, then the others."""

    wish: Wish
    fast: Choice | None
    balanced: Choice | None
    best: Choice | None
    ranked: tuple[Choice, ...]


class _Candidate(NamedTuple):
    model: CatalogueModel
    file: QuantFile
    placement: Placement
    memory: MemoryEstimate
    verdict: Verdict
    speed: SpeedEstimate
    score: float
    quality: Quality
    crowded: bool  # it takes nearly all that is free

    @property
    def rate(self) -> float:
        return self.speed.tokens_per_second

    def value(self, points: float) -> float:
        """Quality, and points for each doubling of speed over reading speed."""
        speed = points * math.log2(max(0.01, min(self.rate, ENOUGH)) / READING_SPEED)
        return self.score + speed - self.crowded


def recommend(machine: Machine, catalogue: Catalogue, wish: Wish) -> Recommendation:
    """Recommend models for a machine."""
    budgets = budgets_of(machine)
    by_model = {
        model.id: _candidates(machine, budgets, catalogue, model, wish)
        for model in catalogue.models
        if suits(model, wish.use)
    }
    writer = _Writer(machine, budgets, wish)
    every = [candidate for candidates in by_model.values() for candidate in candidates]
    best, balanced, fast = _pick(every, wish)
    rows = [_of_model(candidates, wish) for candidates in by_model.values()]
    rows.sort(key=lambda row: (_obstacle(row, wish), -row.value(ROW_POINTS)))
    return Recommendation(
        wish,
        writer.choice(fast, _FAST) if fast else None,
        writer.choice(balanced, _BALANCED) if balanced else None,
        writer.choice(best, _BEST) if best else None,
        tuple(writer.choice(row) for row in rows),
    )


def choices_of(
    machine: Machine, catalogue: Catalogue, model: CatalogueModel, wish: Wish
) -> tuple[Choice, ...]:
    """Return one model in every quantization, the largest file first."""
    budgets = budgets_of(machine)
    writer = _Writer(machine, budgets, wish)
    candidates = _candidates(machine, budgets, catalogue, model, wish)
    return tuple(writer.choice(candidate) for candidate in sorted(candidates, key=lambda c: -c.file.size))


def suits(model: CatalogueModel, use: Use) -> bool:
    """Tell whether a model can serve a use at all."""
    return use in model.uses or (use in GENERAL and "chat" in model.uses)


def _candidates(
    machine: Machine, budgets: Budgets, catalogue: Catalogue, model: CatalogueModel, wish: Wish
) -> list[_Candidate]:
    settings = FitSettings(wish.context_length)
    quality = catalogue.scale.quality(model, wish.use)
    projector = (model.projector_size or UNKNOWN_PROJECTOR) if wish.use == "vision" else 0
    found: list[_Candidate] = []
    for file in model.quants:
        quant = catalogue.quants.get(file.name)
        placement, memory, verdict = place_within(budgets, model.shape, file.size + projector, settings)
        speed = predict_speed(machine, model.shape, file.weights, placement, settings)
        divergence = quant.divergence if quant else 0.0
        score = after_quantization(quality.score, divergence, model.parameters)
        crowded = _is_crowded(budgets, placement)
        found.append(_Candidate(model, file, placement, memory, verdict, speed, score, quality, crowded))
    return found


def _is_crowded(budgets: Budgets, placement: Placement) -> bool:
    gpu, host = CROWDED * budgets.gpu.now, CROWDED * budgets.host.now
    return placement.gpu_bytes > gpu or placement.host_bytes > host


def _obstacle(candidate: _Candidate, wish: Wish) -> int:
    """Return 0 for what is usable, else how far from it this is."""
    if candidate.verdict == "does_not_fit":
        return 4
    if candidate.model.context_length < wish.context_length:
        return 3
    if candidate.rate < READING_SPEED:
        return 2
    return 0 if candidate.verdict in FITS_NOW else 1


def _pick(every: Sequence[_Candidate], wish: Wish) -> tuple[_Candidate | None, ...]:
    """Return best, balanced and fast."""
    graded = [(_obstacle(candidate, wish), candidate) for candidate in every]
    usable = [candidate for obstacle, candidate in graded if obstacle == 0]
    usable = usable or [candidate for obstacle, candidate in graded if obstacle == 1]
    best = _top(usable)
    balanced = _top(_faster(usable, best, COMFORTABLE)) if best else None
    fast = _top(_faster(_other(usable, best), balanced, QUICK)) if balanced else None
    return best, balanced, fast


def _faster(usable: Sequence[_Candidate], than: _Candidate | None, least: float) -> list[_Candidate]:
    """Return the other models that are clearly faster, or if none is, those that are noticeably so."""
    rate = than.rate if than else 0.0
    others = _other(usable, than)
    clearly = [candidate for candidate in others if candidate.rate >= max(least, FASTER * rate)]
    return clearly or [candidate for candidate in others if candidate.rate >= NOTICEABLY_FASTER * rate]


def _other(usable: Sequence[_Candidate], than: _Candidate | None) -> list[_Candidate]:
    """Leave out a model, and those of the same dimensions: its older sisters."""
    return [candidate for candidate in usable if not than or candidate.model.shape != than.model.shape]


def _top(candidates: Iterable[_Candidate]) -> _Candidate | None:
    return max(candidates, key=lambda candidate: candidate.value(PICK_POINTS), default=None)


def _of_model(candidates: Sequence[_Candidate], wish: Wish) -> _Candidate:
    """Return the quantization in which a model does best here."""
    nearest = min(_obstacle(candidate, wish) for candidate in candidates)
    same = [candidate for candidate in candidates if _obstacle(candidate, wish) == nearest]
    if nearest == 4:
        return min(same, key=lambda candidate: candidate.memory.total)
    return max(same, key=lambda candidate: candidate.value(ROW_POINTS))


_BEST = "The best answers that this computer can give at reading speed: {facts}."
_BALANCED = "Good answers without waiting: {facts}."
_FAST = "The quickest answers: {facts}."
_ROW = "It runs here: {facts}."


class _Writer:
    """Turns candidates into choices, with their sentences."""

    def __init__(self, machine: Machine, budgets: Budgets, wish: Wish) -> None:
        self._machine = machine
        self._budgets = budgets
        self._wish = wish

    def choice(self, candidate: _Candidate, template: str = _ROW) -> Choice:
        placement = candidate.placement
        settings = RecommendedSettings(
            threads=self._machine.cpu.usable_cores,
            context_length=min(self._wish.context_length, candidate.model.context_length),
            gpu_layers=placement.gpu_layers,
            experts_on_cpu=placement.kind == "experts_on_cpu",
        )
        why_not = self._why_not(candidate)
        return Choice(
            candidate.model,
            candidate.file.name,
            candidate.file.size,
            candidate.memory,
            placement,
            candidate.speed,
            replace(candidate.quality, score=candidate.score),
            candidate.verdict,
            settings,
            why_not if why_not and template == _ROW else self._reason(candidate, template),
            why_not,
        )

    def _reason(self, candidate: _Candidate, template: str) -> Text:
        facts = text(
            "{quality} of 100 points, about {speed} tokens/s, {memory} of memory, {where}",
            quality=Number(candidate.score),
            speed=Number(candidate.rate, 1 if candidate.rate < 10 else 0),
            memory=Bytes(candidate.memory.total),
            where=self._where(candidate),
        )
        if candidate.verdict == "needs_closing_apps":
            facts = text("{facts}; close other programs first, it does not fit beside them", facts=facts)
        return text(template, facts=facts)

    def _where(self, candidate: _Candidate) -> Text:
        match candidate.placement.kind:
            case "gpu" | "unified":
                return text("all of it on the GPU")
            case "experts_on_cpu":
                return text("its experts in main memory, the rest on the GPU")
            case "partly_gpu":
                return text(
                    "{layers} of {all} layers on the GPU",
                    layers=candidate.placement.gpu_layers - 1,
                    all=candidate.model.shape.layers,
                )
            case "cpu":
                return text("on the processor")

    def _why_not(self, candidate: _Candidate) -> Text | None:
        match _obstacle(candidate, self._wish):
            case 0:
                return None
            case 1:
                return text(
                    "It fits only after other programs are closed: it takes {need}, now there are {have}.",
                    need=Bytes(candidate.memory.total),
                    have=Bytes(self._have(closed=False)),
                )
            case 2:
                return text(
                    "Too slow here: about {speed} tokens/s, less than one reads.",
                    speed=Number(candidate.rate, 1),
                )
            case 3:
                return text(
                    "It was trained for {trained} tokens of context, you asked for {wished}.",
                    trained=candidate.model.context_length,
                    wished=self._wish.context_length,
                )
            case _:
                return text(
                    "It does not fit: even as {quant} it takes {need}, this computer has {have} for a model.",
                    quant=candidate.file.name,
                    need=Bytes(candidate.memory.total),
                    have=Bytes(self._have(closed=True)),
                )

    def _have(self, *, closed: bool) -> int:
        """Return all that a model may take, unified memory counted once."""
        gpu, host = self._budgets.gpu, self._budgets.host
        amounts = (gpu.closed, host.closed) if closed else (gpu.now, host.now)
        return max(amounts) if self._budgets.unified else sum(amounts)
