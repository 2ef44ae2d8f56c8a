"""Three picks and a table.

Every model that suits the wish is placed and timed in every quantization. *Usable* is what fits into the
memory that is available now and answers at reading speed (6 tokens/s; embeddings: reads 50) or faster.
The three picks come from the usable ones:

- best: the highest quality;
- balanced: the highest quality at 1.4 times the speed of best, and 9 tokens/s at least (embeddings 500);
- fast: the highest quality at 1.4 times the speed of balanced, and 24 tokens/s at least (embeddings 2000).

They are three different models where there are three; one that differs from another only in its release
does not count. Quality is ability after quantization (`core.quality`), so a 4-bit file of a better model
beats an 8-bit file of a worse one; each doubling of speed up to 30 tokens/s (4000) counts as one point, so
that nobody waits twice as long for nothing, and taking nearly all that is free costs one. The cache has
16 bits unless only 8 make a file fit. Where nothing is usable now, what fits after other programs are closed
is picked, and the reason says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.recommend import sentences
from localllm.core.recommend.candidates import Situation, candidate_of, candidates_of, obstacle, timed
from localllm.core.recommend.choice import Choice, Recommendation
from localllm.core.recommend.sentences import Writer
from localllm.core.recommend.wish import suits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from localllm.core.catalogue import Catalogue, CatalogueModel
    from localllm.core.machine import Machine
    from localllm.core.recommend.candidates import Candidate
    from localllm.core.recommend.wish import Wish
    from localllm.core.speed import SpeedFits

FASTER, NOTICEABLY_FASTER = 1.4, 1.15  # times the pick before
PICK_POINTS, ROW_POINTS = 1.0, 3.0  # per doubling of speed, among the picks and in the table


def recommend(
    machine: Machine, catalogue: Catalogue, wish: Wish, fits: SpeedFits | None = None
) -> Recommendation:
    """Recommend models for a machine; `fits` is what was measured of its speed."""
    situation = Situation.of(machine, catalogue, wish, fits)
    of_models = [
        candidates_of(situation, model, hopeless=False)
        for model in catalogue.models
        if suits(model, wish.use)
    ]
    writer = Writer(situation)
    every = [candidate for candidates in of_models for candidate in candidates]
    best, balanced, fast = _pick(every, wish)
    rows = [timed(situation, _of_model(candidates, wish)) for candidates in of_models]
    rows.sort(key=lambda row: (obstacle(row, wish), -row.value(ROW_POINTS)))
    texts = (sentences.FAST, sentences.BALANCED, sentences.BEST)
    if wish.use == "embedding":
        texts = (sentences.FAST_EMBEDDING, sentences.BALANCED_EMBEDDING, sentences.BEST_EMBEDDING)
    fast_text, balanced_text, best_text = texts
    return Recommendation(
        wish,
        writer.choice(fast, fast_text) if fast else None,
        writer.choice(balanced, balanced_text) if balanced else None,
        writer.choice(best, best_text) if best else None,
        tuple(writer.choice(row) for row in rows),
        _smallest(writer, every),
    )


def choices_of(
    machine: Machine,
    catalogue: Catalogue,
    model: CatalogueModel,
    wish: Wish,
    fits: SpeedFits | None = None,
) -> tuple[Choice, ...]:
    """Return one model in every quantization, the largest file first."""
    situation = Situation.of(machine, catalogue, wish, fits)
    writer = Writer(situation)
    found = sorted(candidates_of(situation, model, hopeless=True), key=lambda candidate: -candidate.file.size)
    return tuple(writer.choice(candidate) for candidate in found)


def choice_of(situation: Situation, model: CatalogueModel, quant: str) -> Choice | None:
    """Return one file of a model, None if there is none of that name."""
    quality = situation.catalogue.quality(model, situation.wish.use)
    for file in model.quants:
        if file.name == quant:
            return Writer(situation).choice(candidate_of(situation, model, file, quality))
    return None


def _pick(every: Sequence[Candidate], wish: Wish) -> tuple[Candidate | None, ...]:
    """Return best, balanced and fast."""
    graded = [(obstacle(candidate, wish), candidate) for candidate in every]
    usable = [candidate for grade, candidate in graded if grade == 0]
    usable = usable or [candidate for grade, candidate in graded if grade == 1]
    best = _top(usable)
    balanced = _top(_faster(usable, best, wish.pace.comfortable)) if best else None
    fast = _top(_faster(_other(usable, best), balanced, wish.pace.quick)) if balanced else None
    return best, balanced, fast


def _faster(usable: Sequence[Candidate], than: Candidate | None, least: float) -> list[Candidate]:
    """Return the other models that are clearly faster, or if none is, those that are noticeably so."""
    rate = than.rate if than else 0.0
    others = _other(usable, than)
    clearly = [candidate for candidate in others if candidate.rate >= max(least, FASTER * rate)]
    return clearly or [candidate for candidate in others if candidate.rate >= NOTICEABLY_FASTER * rate]


def _other(usable: Sequence[Candidate], than: Candidate | None) -> list[Candidate]:
    """Leave out a model, and those of the same dimensions: its older sisters."""
    return [candidate for candidate in usable if not than or candidate.model.shape != than.model.shape]


def _top(candidates: Iterable[Candidate]) -> Candidate | None:
    return max(candidates, key=lambda candidate: candidate.value(PICK_POINTS), default=None)


def _of_model(candidates: Sequence[Candidate], wish: Wish) -> Candidate:
    """Return the quantization in which a model does best here."""
    nearest = min(obstacle(candidate, wish) for candidate in candidates)
    same = [candidate for candidate in candidates if obstacle(candidate, wish) == nearest]
    if nearest == 4:
        return min(same, key=lambda candidate: candidate.memory.total)
    return max(same, key=lambda candidate: candidate.value(ROW_POINTS))


def _smallest(writer: Writer, every: Sequence[Candidate]) -> Choice | None:
    """Return what comes nearest to fitting where nothing fits."""
    if any(candidate.verdict != "does_not_fit" for candidate in every):
        return None
    nearest = min(every, key=lambda candidate: candidate.memory.total, default=None)
    return writer.choice(nearest) if nearest else None
