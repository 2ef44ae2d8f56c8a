"""How good a model is, on one scale, with what that rests on.

Benchmarks are never compared with one another. Each model has one ability, in points of MMLU-Pro
(percent correct of ten choices), estimated like this:

1. Prior from size and age: a + b·log2(size) + c·(months since January 2024), where size is the number of
   weights, for models with experts the geometric mean of all and active ones. A maker's models differ from
   that by what its measured ones do on average, counted together with one model seven points below: a
   maker without figures starts there, for nobody vouches for it. On size and age alone no model comes
   within three points of the best measured one.
2. Each benchmark j is aligned to the ability by the line  value = α_j + β_j·ability, fitted over the models
   that have a figure in it (five at least, and rising, or the benchmark is left out). MMLU-Pro itself has
   α = 0 and β = 1.
3. A model's ability is the mean of its prior and of its aligned figures, each weighted by one over its
   variance: that of the benchmark's line, that of the prior. 1 to 3 are repeated until they agree.
4. For a use, the figures of that use's benchmarks are weighed in again, three times, around the
   general ability; a model made for that use alone and without such a figure gets three points.

Embedding models have a scale of their own, in points of MTEB (Multilingual), made in the same way.

A model without any figure has its prior alone, and says so. Quantization takes away a share of the points
that grows with the published Kullback-Leibler divergence: points · (1 - exp(-0.45 · KLD)). The divergence
was measured on an 8B model; it is scaled by the root of (8 billion / size), between a quarter and three
times, for small models lose more and large ones less. Where a divergence was measured on this computer with
the very model, that one is taken as it is, and the published ones of its other files are scaled to it. 0.45
is our own figure: it takes about 1 % for Q4_K_M and 14 % for Q2_K on 8B models, in line with the losses in
accuracy that are reported for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from localllm.core.shape import ModelShape

Use = Literal["chat", "code", "reasoning", "vision", "multilingual", "embedding"]
USES: tuple[Use, ...] = get_args(Use)

ANCHOR = "MMLU-Pro"
EMBEDDING_ANCHOR = "MTEB (Multilingual)"
LEAST_MODELS = 5
ROUNDS = 15
PRIOR_SPREAD = 7.0  # points
UNKNOWN_MAKER = 7.0
BEHIND_BEST = 3.0
LEAST_SPREAD = 3.0  # no benchmark is trusted further than this
MADE_FOR_IT = 3.0  # points
DAMAGE = 0.45  # per nat of divergence
OF_USE: dict[Use, frozenset[str]] = {
    "chat": frozenset({"IFEval", "Arena-Hard", "LiveBench"}),
    "code": frozenset({"LiveCodeBench v6", "LiveCodeBench", "HumanEval", "SWE-bench Verified"}),
    "reasoning": frozenset({"GPQA", "AIME 2025", "AIME 2024"}),
    "vision": frozenset({"MMMU", "MMMU-Pro"}),
    "multilingual": frozenset({"MMMLU (Spanish)", "MGSM"}),
    "embedding": frozenset({EMBEDDING_ANCHOR}),
}


@dataclass(frozen=True)
class Evaluation:
    """A published figure: percent correct, higher is better."""

    benchmark: str
    value: float
    source: str


class Rated(Protocol):
    """What is known of a model that is to be rated."""

    @property
    def id(self) -> str:
        """The model's name."""
        ...

    @property
    def developer(self) -> str:
        """Its maker."""
        ...

    @property
    def uses(self) -> tuple[Use, ...]:
        """What it was made for."""
        ...

    @property
    def shape(self) -> ModelShape:
        """Its dimensions."""
        ...

    @property
    def months(self) -> int:
        """Months from January 2024 to its release."""
        ...

    @property
    def quality(self) -> tuple[Evaluation, ...]:
        """What was published about it."""
        ...


@dataclass(frozen=True)
class Quality:
    """Ability from 0 to 100 (points of MMLU-Pro) and the sentence that says where it comes from."""

    score: float
    source: Text
    estimated: bool  # from size and age alone


@dataclass(frozen=True)
class QuantLoss:
    """What a quantization does to a model.

    Attributes:
        divergence: Mean Kullback-Leibler divergence from full precision, nats per token.
        source: Where that is from.
        basis: "published" for an 8B model; "measured" on this computer with this model; "scaled": published,
            in proportion to what was measured of the model's other files.
    """

    divergence: float
    source: str
    basis: Literal["published", "measured", "scaled"] = "published"

    def leaves(self, score: float, parameters: int) -> float:
        """Return what is left of an unquantized model's score."""
        return score * math.exp(-DAMAGE * self.expected(parameters))

    def expected(self, parameters: int) -> float:
        """Return the divergence that a model of this size will have."""
        published = self.basis == "published"
        return self.divergence * (
            min(3.0, max(0.25, math.sqrt(8e9 / max(1, parameters)))) if published else 1.0
        )


@dataclass(frozen=True)
class _Line:
    """A benchmark's value as a line over ability; `spread` is the scatter in points of ability."""

    offset: float
    slope: float
    spread: float

    def ability(self, value: float) -> float:
        return (value - self.offset) / self.slope


class QualityScale:
    """The abilities of the models of a catalogue."""

    def __init__(self, models: Sequence[Rated], anchor: str = ANCHOR) -> None:
        self._anchor = anchor
        self._lines: dict[str, _Line] = {anchor: _Line(0.0, 1.0, LEAST_SPREAD)}
        self._prior = (20.0, 8.0, 0.8) if anchor == ANCHOR else (62.0, 2.0, 0.1)
        self._makers: dict[str, float] = {}
        self._best = 100.0
        self._ability = {model.id: self._from_prior(model) for model in models}
        rated = [model for model in models if model.quality]
        for _ in range(ROUNDS):
            self._ability |= {model.id: self._general(model) for model in rated}
            self._align(rated)
            self._refit(rated)
        self._best = max((self._ability[model.id] for model in rated), default=100.0) - BEHIND_BEST
        self._ability = {model.id: self._general(model) for model in models}

    def quality(self, model: Rated, use: Use) -> Quality:
        """Return a model's ability at a use, unquantized."""
        general = self._ability[model.id]
        figures = [entry for entry in model.quality if entry.benchmark in self._lines]
        of_use = [entry for entry in figures if entry.benchmark in OF_USE[use]]
        if of_use:
            score = self._weigh(general, PRIOR_SPREAD / 2, of_use, weight=3.0)
        else:
            score = general + (MADE_FOR_IT if model.uses == (use,) and use != "chat" else 0.0)
        source = _source(_shown(of_use, figures, self._anchor))
        return Quality(min(100.0, max(0.0, score)), source, not figures)

    def _from_prior(self, model: Rated) -> float:
        base, per_doubling, per_month = self._prior
        fitted = base + per_doubling * _doublings(model) + per_month * model.months
        return min(self._best, fitted + self._makers.get(model.developer, -UNKNOWN_MAKER))

    def _general(self, model: Rated) -> float:
        return self._weigh(self._from_prior(model), PRIOR_SPREAD, model.quality)

    def _weigh(
        self, start: float, spread: float, figures: Iterable[Evaluation], *, weight: float = 1.0
    ) -> float:
        total, weights = start / spread**2, 1 / spread**2
        for entry in figures:
            line = self._lines.get(entry.benchmark)
            if line:
                total += weight * line.ability(entry.value) / line.spread**2
                weights += weight / line.spread**2
        return total / weights

    def _align(self, rated: Sequence[Rated]) -> None:
        """Fit each benchmark's line over the models that have it."""
        points: dict[str, list[tuple[float, float]]] = {}
        for model in rated:
            for entry in model.quality:
                points.setdefault(entry.benchmark, []).append((self._ability[model.id], entry.value))
        for benchmark, pairs in points.items():
            if benchmark != self._anchor and len(pairs) >= LEAST_MODELS:
                line = _fit(pairs)
                if line:
                    self._lines[benchmark] = line

    def _refit(self, rated: Sequence[Rated]) -> None:
        rows = [(1.0, _doublings(model), float(model.months)) for model in rated]
        solved = _least_squares(rows, [self._ability[model.id] for model in rated])
        if solved and solved[1] > 0 and solved[2] > 0:
            self._prior = solved
        base, per_doubling, per_month = self._prior
        residuals: dict[str, list[float]] = {}
        for model in rated:
            fitted = base + per_doubling * _doublings(model) + per_month * model.months
            residuals.setdefault(model.developer, []).append(self._ability[model.id] - fitted)
        self._makers = {
            maker: (sum(values) - UNKNOWN_MAKER) / (len(values) + 1) for maker, values in residuals.items()
        }


def _doublings(model: Rated) -> float:
    shape = model.shape
    size = math.sqrt(shape.parameters * shape.active_parameters) if shape.experts else shape.parameters
    return math.log2(size / 1e9)


def _fit(pairs: Sequence[tuple[float, float]]) -> _Line | None:
    count = len(pairs)
    mean_x = sum(x for x, _ in pairs) / count
    mean_y = sum(y for _, y in pairs) / count
    spread_x = sum((x - mean_x) ** 2 for x, _ in pairs)
    if not spread_x:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread_x
    if slope <= 0.1:
        return None
    offset = mean_y - slope * mean_x
    scatter = math.sqrt(sum((y - offset - slope * x) ** 2 for x, y in pairs) / max(1, count - 2)) / slope
    return _Line(offset, slope, max(LEAST_SPREAD, scatter))


def _least_squares(
    rows: Sequence[tuple[float, float, float]], values: Sequence[float]
) -> tuple[float, float, float] | None:
    """Solve the normal equations of three unknowns by Cramer's rule."""
    size = range(3)
    matrix = [[sum(row[i] * row[j] for row in rows) for j in size] for i in size]
    right = [sum(row[i] * value for row, value in zip(rows, values, strict=True)) for i in size]
    whole = _determinant(matrix)
    if abs(whole) < 1e-9:
        return None
    solved = [
        _determinant([[right[i] if j == column else matrix[i][j] for j in size] for i in size]) / whole
        for column in size
    ]
    return solved[0], solved[1], solved[2]


def _determinant(m: Sequence[Sequence[float]]) -> float:
    return (
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
        - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    )


def _shown(
    of_use: Sequence[Evaluation], figures: Sequence[Evaluation], anchor: str
) -> tuple[Evaluation, ...]:
    rest = sorted(
        (entry for entry in figures if entry not in of_use), key=lambda entry: entry.benchmark != anchor
    )
    return (*of_use, *rest)[:3]


@cache
def _source(shown: tuple[Evaluation, ...]) -> Text:
    if not shown:
        return text("estimated from size and age")
    figures = ", ".join(f"{entry.benchmark} {entry.value:g}" for entry in shown)
    sources = sorted({entry.source for entry in shown})
    return text("from {figures} ({sources})", figures=figures, sources="; ".join(sources))
