"""Every model in every quantization, placed and timed on one computer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from localllm.core.fit import FITS_NOW, FitSettings, budgets_of, place_within, with_cache
from localllm.core.speed import SpeedEstimate, predict_speed

if TYPE_CHECKING:
    from localllm.core.catalogue import Catalogue, CatalogueModel, QuantFile
    from localllm.core.fit import Budgets, MemoryEstimate, Placement, Verdict
    from localllm.core.machine import Machine
    from localllm.core.quality import Quality
    from localllm.core.recommend.wish import Wish
    from localllm.core.shape import ModelShape
    from localllm.core.speed import SpeedFits

CROWDED = 0.9  # of what is free
UNKNOWN_PROJECTOR = 900 * 10**6  # bytes; the projectors whose size is known take 0.7 to 0.9 GB
VERDICTS = ("fits", "tight", "partly_on_cpu", "needs_closing_apps", "does_not_fit")  # the best first
LARGE_UBATCH = 2048
UNTIMED = SpeedEstimate(0.0, 0.0, 0.0, "table")
BESIDE_GPU = 2 * 2**30  # what of a model on the GPU is in main memory: its embedding, the process


@dataclass(frozen=True)
class Situation:
    """One computer and one wish."""

    machine: Machine
    budgets: Budgets
    catalogue: Catalogue
    wish: Wish
    fits: SpeedFits | None = None

    @classmethod
    def of(
        cls, machine: Machine, catalogue: Catalogue, wish: Wish, fits: SpeedFits | None = None
    ) -> Situation:
        """Describe what is asked; `fits` is what was measured of the machine's speed."""
        return cls(machine, budgets_of(machine), catalogue, wish, fits)


class Candidate(NamedTuple):
    """One model in one quantization; `size` is what is loaded: the file, and a projector for images."""

    model: CatalogueModel
    file: QuantFile
    size: int
    fit: FitSettings
    placement: Placement
    memory: MemoryEstimate
    verdict: Verdict
    speed: SpeedEstimate
    score: float
    quality: Quality
    crowded: bool  # it takes nearly all that is free
    enough: float
    least: float

    @property
    def rate(self) -> float:
        """Tokens per second that count: of the answer, for embeddings of reading."""
        return (self.fit.embeddings and self.speed.prompt_tokens_per_second) or self.speed.tokens_per_second

    def value(self, points: float) -> float:
        """Quality, and points for each doubling of speed over the least."""
        speed = points * math.log2(max(0.01, min(self.rate, self.enough)) / self.least)
        return self.score + speed - self.crowded


def candidates_of(situation: Situation, model: CatalogueModel, *, hopeless: bool) -> list[Candidate]:
    """Return a model in every quantization; without `hopeless` ones, not those that are larger than memory.

    The smallest is always there.
    """
    quality = situation.catalogue.quality(model, situation.wish.use)
    room = situation.budgets.whole(closed=True)
    smallest = min(file.size for file in model.quants)
    files = [file for file in model.quants if hopeless or file.size <= max(room, smallest)]
    return [candidate_of(situation, model, file, quality) for file in files]


def candidate_of(situation: Situation, model: CatalogueModel, file: QuantFile, quality: Quality) -> Candidate:
    """Place and time one file."""
    wish, shape = situation.wish, model.shape
    projector = (model.projector_size or UNKNOWN_PROJECTOR) if wish.use == "vision" else 0
    size = file.size + projector
    fit, placed = _placed(situation, shape, size)
    placement, memory, verdict = placed
    loss = situation.catalogue.loss(model, file.name)
    score = loss.leaves(quality.score, model.parameters) if loss else quality.score
    pace = wish.pace
    crowded = _is_crowded(situation.budgets, placement)
    candidate = Candidate(
        model, file, size, fit, placement, memory, verdict, UNTIMED, score, quality, crowded, pace.enough,
        max(0.01, pace.least),
    )  # fmt: skip
    return candidate if verdict == "does_not_fit" else timed(situation, candidate)


def timed(situation: Situation, candidate: Candidate) -> Candidate:
    """Return a candidate with its speed, which is not worked out for all that do not fit."""
    if candidate.speed is not UNTIMED:
        return candidate
    file, placement = candidate.file, candidate.placement
    speed = predict_speed(
        situation.machine, candidate.model.shape, file.weights, placement, candidate.fit, situation.fits,
        quant=file.name,
    )  # fmt: skip
    return candidate._replace(speed=speed)


def _placed(
    situation: Situation, shape: ModelShape, size: int
) -> tuple[FitSettings, tuple[Placement, MemoryEstimate, Verdict]]:
    """Place a file with the cache that was asked for, or an 8-bit one where only that makes it fit better."""
    budgets, wish = situation.budgets, situation.wish
    fit = fit_settings(shape, wish)
    placed = place_within(budgets, shape, size, fit)
    if wish.kv_type != "auto" or not _cache_matters(budgets, *placed):
        return fit, placed
    smaller = with_cache(shape, fit, "q8_0")
    if smaller == fit:
        return fit, placed
    again = place_within(budgets, shape, size, smaller)
    if VERDICTS.index(again[2]) < VERDICTS.index(placed[2]):
        return smaller, again
    return fit, placed


def _cache_matters(budgets: Budgets, _: Placement, memory: MemoryEstimate, verdict: Verdict) -> bool:
    """Tell whether half the cache could make the difference; in doubt it could."""
    if verdict in ("fits", "tight"):
        return False
    room = budgets.whole(closed=verdict == "does_not_fit")
    if verdict == "partly_on_cpu":
        room = budgets.gpu.now + BESIDE_GPU
    return memory.total - memory.kv // 2 <= room


def fit_settings(shape: ModelShape, wish: Wish) -> FitSettings:
    """Return the settings a wish begins with."""
    if wish.use == "embedding":
        length = min(wish.context_length, shape.trained_context)
        whole = length if shape.is_encoder else min(512, length)  # an encoder reads a text in one piece
        fit = FitSettings(length, ubatch=whole, batch=whole, outputs_max=0, embeddings=True)
    else:
        fit = FitSettings(wish.context_length)
    return fit if wish.kv_type in ("auto", "f16") else with_cache(shape, fit, wish.kv_type)


def tuned(situation: Situation, candidate: Candidate) -> Candidate:
    """Read prompts in larger pieces where weights are copied to the GPU for each piece, if that fits too."""
    if candidate.placement.kind not in ("experts_on_cpu", "partly_gpu") or candidate.fit.embeddings:
        return candidate
    fit = replace(candidate.fit, ubatch=LARGE_UBATCH)
    shape = candidate.model.shape
    placement, memory, verdict = place_within(situation.budgets, shape, candidate.size, fit)
    same = (placement.kind, verdict) == (candidate.placement.kind, candidate.verdict)
    if not same or placement.gpu_layers < candidate.placement.gpu_layers:
        return candidate
    larger = candidate._replace(fit=fit, placement=placement, memory=memory, speed=UNTIMED)
    return timed(situation, larger)


def _is_crowded(budgets: Budgets, placement: Placement) -> bool:
    gpu, host = CROWDED * budgets.gpu.now, CROWDED * budgets.host.now
    return placement.gpu_bytes > gpu or placement.host_bytes > host


def obstacle(candidate: Candidate, wish: Wish) -> int:
    """Return 0 for what is usable, else how far from it this is."""
    if candidate.verdict == "does_not_fit":
        return 4
    if candidate.model.context_length < wish.context_length:
        return 3
    if candidate.rate < wish.pace.least:
        return 2
    return 0 if candidate.verdict in FITS_NOW else 1
