"""What this machine's measurements say: seconds per quantity of work, and how far predictions are off."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localllm.core.speed.linear import Observation, fit, half_width, left_out_errors
from localllm.core.speed.work import ROLES, Place, TimedModel, Work, decode_work, prompt_work

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from localllm.core.speed.work import Role

BEFORE_ANY = math.log(1.25)  # half-width of an interval before a prediction was compared with an answer
BEFORE_ANY_OF_MODEL = math.log(1.12)  # the same where this very model was measured
_QUANTITIES = len(Work._fields)


@dataclass(frozen=True)
class Figures:
    """One of both speeds, writing or reading, on one machine with so many threads.

    Attributes:
        rates: Seconds of each quantity of `Work`, CPU then GPU.
        roles: The devices that were measured.
        half_width: Of the interval, in logarithms.
        corrections: For each model and settings measured here: factor on the predicted time, half-width.
        used: Measurements that count.
        dropped: Measurements that were dropped as wrong.
    """

    rates: tuple[float, ...]
    roles: frozenset[Role] = frozenset()
    half_width: float = BEFORE_ANY
    corrections: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    used: int = 0
    dropped: int = 0

    def seconds(self, work: Mapping[Role, Work]) -> float:
        """Return the predicted time of one token."""
        return sum(rate * quantity for rate, quantity in zip(self.rates, joined(work), strict=True))

    def of(self, role: str) -> Work:
        """Return the seconds of each quantity on one device."""
        start = ROLES.index(role) * _QUANTITIES
        return Work(*self.rates[start : start + _QUANTITIES])

    def covers(self, work: Mapping[Role, Work]) -> bool:
        """Tell whether every device that this takes was measured."""
        return all(role in self.roles for role in ROLES if any(work[role]))


@dataclass(frozen=True)
class SpeedFits:
    """What was measured on one machine with so many threads.

    `devices` are ggml's names of what the roles are here: {"cpu": "CPU", "gpu": "CUDA0"}.
    """

    threads: int
    writing: Figures
    reading: Figures
    devices: Mapping[str, str] = field(default_factory=dict[str, str])


def joined(work: Mapping[Role, Work]) -> tuple[float, ...]:
    """Return the quantities of all devices in one row."""
    return tuple(quantity for role in ROLES for quantity in work[role])


def figures(observations: Sequence[Observation], before: Sequence[float]) -> Figures:
    """Fit one of both speeds; `before` are the rates of the table."""
    solution = fit(observations, before, _QUANTITIES)
    errors = left_out_errors(solution, before, _QUANTITIES)
    roles: set[Role] = {
        role
        for i, role in enumerate(ROLES)
        if any(any(seen.quantities[i * _QUANTITIES : (i + 1) * _QUANTITIES]) for seen in solution.kept)
    }
    return Figures(
        solution.rates,
        frozenset(roles),
        half_width(errors, BEFORE_ANY),
        _corrections(solution.rates, observations),
        len(solution.kept),
        len(solution.dropped),
    )


def _corrections(
    rates: Sequence[float], observations: Iterable[Observation]
) -> dict[str, tuple[float, float]]:
    by_group: dict[str, list[float]] = {}
    for seen in observations:
        predicted = sum(r * q for r, q in zip(rates, seen.quantities, strict=True))
        if not seen.anchor:
            by_group.setdefault(seen.group, []).append(math.log(seen.seconds / predicted))
    found: dict[str, tuple[float, float]] = {}
    for group, errors in by_group.items():
        middle = statistics.median(errors)
        found[group] = (math.exp(middle), half_width([e - middle for e in errors], BEFORE_ANY_OF_MODEL))
    return found


def work_of_prompt(model: TimedModel, place: Place, tokens: int, depth: float = 0.0) -> tuple[float, ...]:
    """Return the quantities of one token of a prompt, in one row."""
    return joined(prompt_work(model, place, tokens, depth))


def work_of_token(model: TimedModel, place: Place, depth: float) -> tuple[float, ...]:
    """Return the quantities of one written token, in one row."""
    return joined(decode_work(model, place, depth))
