"""From what each position cost to the figures of a report, with their errors.

The same figures as llama-perplexity prints (llama.cpp 0c1e570, tools/perplexity/perplexity.cpp): errors are
one standard error of the mean, that of a ratio with the covariance of both models on the same tokens;
percentiles are interpolated linearly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from localllm.engine.passes import ChunkScore

    Values = NDArray[np.float64]

FEWEST = 100  # positions; with fewer, errors and percentiles say nothing


@dataclass(frozen=True)
class Estimated:
    """A figure and its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Divergence:
    """Kullback-Leibler divergence from the reference over all positions, nats per token."""

    mean: Estimated
    median: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float
    min: float


@dataclass(frozen=True)
class Comparison:
    """A model beside its reference.

    Attributes:
        base_ppl: Perplexity of the reference, from its probabilities as they were kept (16 bits).
        ln_ratio: ln(perplexity / reference's perplexity).
        correlation: Of both models' costs of the right token, from -1 to 1.
        same_top: Share of positions at which both find the same token most likely.
        rms_delta_p: Root mean square of the difference in the right token's probability.
        mean_delta_p: Mean of that difference; below 0 the model has become worse.
    """

    base_ppl: Estimated
    ln_ratio: Estimated
    correlation: float
    divergence: Divergence
    same_top: Estimated
    rms_delta_p: Estimated
    mean_delta_p: Estimated


@dataclass(frozen=True)
class Figures:
    """What a pass over a text showed."""

    chunks: int
    positions: int
    ppl: Estimated
    comparison: Comparison | None = None

    @property
    def too_few(self) -> bool:
        """Whether there are too few positions for errors and percentiles to mean anything."""
        return self.positions < FEWEST


def figures_of(scores: Sequence[ChunkScore]) -> Figures:
    """Return the figures of the chunks that were read."""
    nll = _joined([score.nll for score in scores])
    comparison = _comparison(scores, nll) if any(score.divergence for score in scores) else None
    return Figures(len(scores), len(nll), _perplexity(nll), comparison)


def _comparison(scores: Sequence[ChunkScore], nll: Values) -> Comparison:
    reference = _joined([score.reference_nll for score in scores])
    delta = _joined([score.delta_p for score in scores])
    same = _joined([score.same_top for score in scores])
    own, base = _mean(nll), _mean(reference)
    covariance = _covariance(nll, reference)
    spread = math.sqrt(max(0.0, own.error**2 + base.error**2 - 2 * covariance))
    squares = _mean(delta * delta)
    rms = math.sqrt(squares.value)
    share = float(same.mean())
    return Comparison(
        base_ppl=_perplexity(reference),
        ln_ratio=Estimated(own.value - base.value, spread),
        correlation=covariance / (own.error * base.error) if own.error and base.error else 1.0,
        divergence=_divergence(_joined([score.divergence for score in scores])),
        same_top=Estimated(share, math.sqrt(share * (1 - share) / max(1, len(same) - 1))),
        rms_delta_p=Estimated(rms, 0.5 / rms * squares.error if rms else 0.0),
        mean_delta_p=_mean(delta),
    )


def _divergence(values: Values) -> Divergence:
    median, p90, p95, p99, p999 = (float(q) for q in np.quantile(values, (0.5, 0.9, 0.95, 0.99, 0.999)))
    return Divergence(
        _mean(values), median, p90, p95, p99, p999, max=float(values.max()), min=float(values.min())
    )


def _perplexity(nll: Values) -> Estimated:
    mean = _mean(nll)
    value = math.exp(mean.value) if mean.value < 700 else math.inf  # e^710 is beyond a double
    return Estimated(value, value * mean.error if mean.error else 0.0)


def _mean(values: Values) -> Estimated:
    count = len(values)
    mean = float(values.mean())
    variance = float((values * values).mean()) - mean * mean
    return Estimated(mean, math.sqrt(variance / (count - 1)) if variance > 0 and count > 1 else 0.0)


def _covariance(one: Values, other: Values) -> float:
    """Return the covariance of two means over the same positions."""
    covariance = float((one * other).mean()) - float(one.mean()) * float(other.mean())
    return covariance / max(1, len(one) - 1)


def _joined(parts: Sequence[Sequence[float]]) -> Values:
    return np.concatenate([np.asarray(part, np.float64) for part in parts])
