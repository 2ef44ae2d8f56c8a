"""Whether two series of measurements differ: Welch's t-test, for unequal variances.

B. L. Welch, "The generalization of 'Student's' problem when several different population variances are
involved", Biometrika 34 (1947). The distribution's tail by the continued fraction of the incomplete beta
function (NIST DLMF 8.17.22).
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TINY = 1e-300
_PRECISION = 1e-14
_MOST_STEPS = 10_000


def welch(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return the probability of a difference of means at least this large by chance, two-sided.

    None where a series has fewer than two values.
    """
    if len(one) < 2 or len(other) < 2:
        return None
    errors = [statistics.variance(values) / len(values) for values in (one, other)]
    difference = statistics.fmean(one) - statistics.fmean(other)
    if sum(errors) <= 0:
        return 1.0 if difference == 0 else 0.0
    t_squared = difference**2 / sum(errors)
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / (len(one) - 1) + errors[1] ** 2 / (len(other) - 1))
    return incomplete_beta(freedom / (freedom + t_squared), freedom / 2, 0.5)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function for 0 ≤ x ≤ 1 and a, b > 0."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Evaluate the continued fraction from its front (modified Lentz)."""
    numerator = 1.0
    value = denominator = 1 / ((1 - (a + b) * x / (a + 1)) or _TINY)
    for step in range(1, _MOST_STEPS):
        for part in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            denominator = 1 / ((1 + part * denominator) or _TINY)
            numerator = (1 + part / numerator) or _TINY
            value *= numerator * denominator
        if abs(numerator * denominator - 1) < _PRECISION:
            break
    return value
