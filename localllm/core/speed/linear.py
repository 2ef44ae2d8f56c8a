"""Finds the seconds that each quantity takes, from measurements of which some are wrong.

Minimised is the sum of squared relative errors. Each unknown is held, weakly, to what it was before: where
measurements say nothing about it, it keeps its value times the scale of the others, and stays in doubt.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOLD = 0.002  # weight of "as it was before" against one measurement
_ROUNDS = 3
_LEAST = 0.02  # of the value before: nothing takes less than no time
_TOLERATED = 0.05  # relative error below which no measurement counts as wrong
_WRONG = 3.5  # deviations of the others
_LEVEL = 0.95
_DEVIATIONS = 1.96  # that hold 19 of 20
_DOUBT = math.log(2) / _DEVIATIONS  # of a quantity's seconds that nobody measured: half or twice
_MOST_OF_ONE_KIND = 2.0  # times as long as expected for a reason that is the weights' own
_ALIKE = 24  # rounds after which a factor is found: each leaves half of its error at most
_UNKNOWNS = 4  # that usually matter
_ASSUMED = (0.05, 0.15, 0.25, 0.4, 0.6, 1.0)  # of the half-width before anything was measured


Doubts = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Observation:
    """One measurement: quantities, and the seconds they took together.

    `group` names the model and settings; `anchor` marks a calibration, which is never left out.
    """

    group: str
    quantities: tuple[float, ...]
    seconds: float
    anchor: bool = False


@dataclass(frozen=True)
class Solution:
    """What was found.

    Attributes:
        rates: Seconds per quantity.
        kept: The observations that count.
        dropped: The others, which are wrong.
        doubts: Covariances of the logarithms of the rates.
    """

    rates: tuple[float, ...]
    kept: tuple[Observation, ...]
    dropped: tuple[Observation, ...]
    doubts: Doubts = ()

    def seconds(self, quantities: Sequence[float]) -> float:
        """Return how long so much takes."""
        return predict(self.rates, quantities)


def predict(rates: Sequence[float], quantities: Sequence[float]) -> float:
    """Return how long so much takes."""
    return sum(rate * quantity for rate, quantity in zip(rates, quantities, strict=True))


def error(rates: Sequence[float], seen: Observation) -> float:
    """Return the logarithm of measured over predicted time."""
    return math.log(seen.seconds / max(1e-12, predict(rates, seen.quantities)))


def shares(rates: Sequence[float], quantities: Sequence[float]) -> list[float]:
    """Return which share of the time each quantity takes."""
    whole = max(1e-12, predict(rates, quantities))
    return [rate * quantity / whole for rate, quantity in zip(rates, quantities, strict=True)]


def doubt_about(doubts: Doubts, parts: Sequence[float]) -> float:
    """Return the half-width, in logarithms, that doubtful rates give a time with these shares."""
    variance = sum(
        one * other * value
        for one, row in zip(parts, doubts, strict=False)
        for other, value in zip(parts, row, strict=True)
    )
    return _DEVIATIONS * math.sqrt(max(0.0, variance))


def slowed(rates: Sequence[float], factor: float, follows: Sequence[float]) -> tuple[float, ...]:
    """Return the rates of something that takes so many times as long; each follows that by its power.

    What goes beyond `_MOST_OF_ONE_KIND` slows everything down alike: a slow or busy processor.
    """
    beyond = factor / min(_MOST_OF_ONE_KIND, max(1 / _MOST_OF_ONE_KIND, factor))
    return tuple(
        rate * factor**power * beyond ** (1 - power) for rate, power in zip(rates, follows, strict=True)
    )


def slowness(rates: Sequence[float], observations: Sequence[Observation], follows: Sequence[float]) -> float:
    """Return the factor for `slowed` with which half of the observations are slower and half faster."""
    factor = 1.0
    for _ in range(_ALIKE):
        found = slowed(rates, factor, follows)
        factor *= math.exp(statistics.median(error(found, seen) for seen in observations))
    return factor


def fit(observations: Sequence[Observation], before: Sequence[float], follows: Sequence[float]) -> Solution:
    """Fit rates to observations; `before` (all above 0) is what they were taken to be.

    As many rates as `follows` has belong together (one device's): where one is faster than expected, the
    others are too, by the factor to the power that stands there.

    First the errors' absolute values are made small, which a third of wrong measurements hardly moves. Then
    those are dropped that lie 3.5 robust deviations off, 5 % at least; the rest gets the least squares.
    """
    if not observations:
        return Solution(tuple(before), (), (), _doubts((), before, _TOLERATED))
    weights = _group_weights(observations)
    rates = _scaled(observations, before, follows)
    for _ in range(2 * _ROUNDS):
        soft = [
            weight / max(_TOLERATED, abs(error(rates, seen)))
            for weight, seen in zip(weights, observations, strict=True)
        ]
        rates = _least_squares(observations, soft, rates)
    errors = [error(rates, seen) for seen in observations]
    spread = 1.4826 * statistics.median(abs(value) for value in errors)
    count = len(observations)
    spread *= math.sqrt(count / max(1, count - _UNKNOWNS))  # the fit has followed the errors a little
    limit = _WRONG * max(_TOLERATED / 2, spread)
    kept = tuple(seen for seen, value in zip(observations, errors, strict=True) if abs(value) <= limit)
    dropped = tuple(seen for seen, value in zip(observations, errors, strict=True) if abs(value) > limit)
    weights = _group_weights(kept)
    for _ in range(_ROUNDS):
        rates = _least_squares(kept, weights, rates)
    return Solution(rates, kept, dropped, _doubts(kept, rates, max(_TOLERATED, spread)))


def _group_weights(observations: Sequence[Observation]) -> list[float]:
    """A model that is asked a thousand times must not outweigh all others."""
    counts: dict[str, int] = {}
    for seen in observations:
        counts[seen.group] = counts.get(seen.group, 0) + 1
    return [1 / math.sqrt(counts[seen.group]) for seen in observations]


def _doubts(observations: Sequence[Observation], rates: Sequence[float], noise: float) -> Doubts:
    """Return how little observations of so much noise say of each rate: the inverse of what they say."""
    size = len(rates)
    known = [[1 / _DOUBT**2 if i == j else 0.0 for j in range(size)] for i in range(size)]
    for seen, weight in zip(observations, _group_weights(observations), strict=True):
        parts = shares(rates, seen.quantities)
        used = [i for i in range(size) if parts[i]]
        for i in used:
            for j in used:
                known[i][j] += weight * parts[i] * parts[j] / noise**2
    units = ([float(i == j) for j in range(size)] for i in range(size))
    return tuple(tuple(_solve([row.copy() for row in known], unit)) for unit in units)


def _scaled(
    observations: Sequence[Observation], before: Sequence[float], follows: Sequence[float]
) -> tuple[float, ...]:
    """Bring each device that was measured to the measured scale."""
    rates, block = list(before), len(follows)
    for start in range(0, len(rates), block):
        mine = slice(start, start + block)
        seen_here = [seen for seen in observations if any(seen.quantities[mine])]
        if seen_here:
            factor = math.exp(statistics.median(error(rates, seen) for seen in seen_here))
            rates[mine] = slowed(rates[mine], factor, follows)
    return tuple(rates)


def _least_squares(
    observations: Sequence[Observation], weights: Sequence[float], before: Sequence[float]
) -> tuple[float, ...]:
    """Solve for the factors on `before`, each at least `_LEAST`."""
    size = len(before)
    matrix = [[_HOLD if i == j else 0.0 for j in range(size)] for i in range(size)]
    target = [_HOLD] * size
    for seen, weight in zip(observations, weights, strict=True):
        row = [q * rate / seen.seconds for q, rate in zip(seen.quantities, before, strict=True)]
        used = [i for i in range(size) if row[i]]
        for i in used:
            target[i] += weight * row[i]
            for j in used:
                matrix[i][j] += weight * row[i] * row[j]
    factors = _solve_above(matrix, target, _LEAST)
    return tuple(factor * rate for factor, rate in zip(factors, before, strict=True))


def _solve_above(matrix: list[list[float]], target: list[float], least: float) -> list[float]:
    """Solve a positive definite system; unknowns that come out below `least` are set to it, one at a time."""
    size = len(target)
    fixed: set[int] = set()
    while True:
        free = [i for i in range(size) if i not in fixed]
        rows = [[matrix[i][j] for j in free] for i in free]
        right = [target[i] - least * sum(matrix[i][j] for j in fixed) for i in free]
        found = dict(zip(free, _solve(rows, right), strict=True))
        lowest = min(found, key=found.__getitem__, default=None)
        if lowest is None or found[lowest] >= least:
            return [found.get(i, least) for i in range(size)]
        fixed.add(lowest)


def _solve(rows: list[list[float]], right: list[float]) -> list[float]:
    """Gauss, without pivots: the diagonal of a positive definite matrix does not vanish."""
    size = len(right)
    for i in range(size):
        for j in range(i + 1, size):
            factor = rows[j][i] / rows[i][i]
            if factor:
                for k in range(i, size):
                    rows[j][k] -= factor * rows[i][k]
                right[j] -= factor * right[i]
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (right[i] - sum(rows[i][k] * found[k] for k in range(i + 1, size))) / rows[i][i]
    return found


def half_width(errors: Sequence[float], expected: float) -> float:
    """Return the half-width, in logarithms, of an interval that holds 19 of 20 new errors.

    A few errors say little, so that assumed ones are counted in: `_ASSUMED` times `expected`, the half-width
    before anything was measured. Few measurements also fix the rates badly: their errors count for more.
    """
    grown = 1 + _UNKNOWNS / max(1, len(errors))
    sizes = sorted([grown * abs(value) for value in errors] + [expected * share for share in _ASSUMED])
    position = math.ceil(_LEVEL * (len(sizes) + 1)) - 1
    return sizes[min(position, len(sizes) - 1)]


def left_out_errors(solution: Solution, before: Sequence[float], follows: Sequence[float]) -> list[float]:
    """Return the error of every model's observations as the others predict them; none of a single model."""
    found: list[float] = []
    groups = dict.fromkeys(seen.group for seen in solution.kept if not seen.anchor)
    for group in groups:
        others = [seen for seen in solution.kept if seen.group != group]
        if not others:
            break
        rates = fit(others, before, follows).rates
        found += [error(rates, seen) for seen in solution.kept if seen.group == group]
    return found
