"""What this machine's measurements say: seconds per quantity of work, and how far predictions are off."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localllm.core.speed.linear import (
    Doubts,
    Observation,
    doubt_about,
    error,
    fit,
    half_width,
    left_out_errors,
    predict,
    shares,
    slowed,
    slowness,
)
from localllm.core.speed.work import ROLES, Place, TimedModel, Work, decode_work, prompt_work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.core.speed.work import Role

BEFORE_ANY = math.log(1.25)  # half-width of an interval before a prediction was compared with an answer
BEFORE_ANY_OF_MODEL = math.log(1.12)  # the same where this very model was measured
_QUANTITIES = len(Work._fields)
# How far each quantity follows a model, or a computer, that takes longer than expected. Attention does by
# half: what slows the weights down may be their file type or layout, of which the cache has nothing. Assumed.
FOLLOWS = Work(1.0, 1.0, 1.0, 1.0, 0.5)
_OWN_DOUBT = 0.1  # a model's own deviation in each quantity, in logarithms; assumed, not measured


@dataclass(frozen=True)
class Correction:
    """How one model with its settings differs from what is predicted.

    Attributes:
        rates: Its own seconds of each quantity.
        half_width: Of its measurements, in logarithms.
        seen: The quantities that were measured.
    """

    rates: tuple[float, ...]
    half_width: float
    seen: tuple[tuple[float, ...], ...]

    def seconds(self, quantities: Sequence[float]) -> float:
        """Return the predicted time of one token."""
        return predict(self.rates, quantities)

    def nearest(self, quantities: Sequence[float]) -> tuple[float, ...]:
        """Return the measured quantities whose time is the most alike."""
        wanted = self.seconds(quantities)
        return min(self.seen, key=lambda seen: abs(math.log(self.seconds(seen) / wanted)))


@dataclass(frozen=True)
class Figures:
    """One of both speeds, writing or reading, on one machine with so many threads.

    Attributes:
        rates: Seconds of each quantity of `Work`, CPU then GPU.
        roles: The devices that were measured.
        half_width: Of the interval, in logarithms.
        corrections: For each model and settings measured here.
        used: Measurements that count.
        dropped: Measurements that were dropped as wrong.
        doubts: Covariances of the logarithms of the rates.
    """

    rates: tuple[float, ...]
    roles: frozenset[Role] = frozenset()
    half_width: float = BEFORE_ANY
    corrections: Mapping[str, Correction] = field(default_factory=dict[str, Correction])
    used: int = 0
    dropped: int = 0
    doubts: Doubts = ()

    def seconds(self, quantities: Sequence[float]) -> float:
        """Return the predicted time of one token."""
        return predict(self.rates, quantities)

    def width(self, quantities: Sequence[float]) -> float:
        """Return the half-width of the interval of a model that was not measured, in logarithms."""
        return math.hypot(self.half_width, doubt_about(self.doubts, shares(self.rates, quantities)))

    def width_from(self, own: Correction, quantities: Sequence[float], seen: Sequence[float]) -> float:
        """Return the half-width of the interval of a model that was measured with other quantities."""
        here, there = shares(own.rates, quantities), shares(own.rates, seen)
        moved = [one - other for one, other in zip(here, there, strict=True)]
        of_its_own = 2 * _OWN_DOUBT * math.hypot(*moved)
        return math.hypot(own.half_width, doubt_about(self.doubts, moved), of_its_own)

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
    solution = fit(observations, before, FOLLOWS)
    errors = left_out_errors(solution, before, FOLLOWS)
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
        solution.doubts,
    )


def _corrections(rates: Sequence[float], observations: Sequence[Observation]) -> dict[str, Correction]:
    by_group: dict[str, list[Observation]] = {}
    for seen in observations:
        if not seen.anchor:
            by_group.setdefault(seen.group, []).append(seen)
    found: dict[str, Correction] = {}
    follows = FOLLOWS * len(ROLES)
    for group, several in by_group.items():
        own = slowed(rates, slowness(rates, several, follows), follows)
        width = half_width([error(own, seen) for seen in several], BEFORE_ANY_OF_MODEL)
        found[group] = Correction(own, width, tuple(dict.fromkeys(seen.quantities for seen in several)))
    return found


def work_of_prompt(model: TimedModel, place: Place, tokens: int, depth: float = 0.0) -> tuple[float, ...]:
    """Return the quantities of one token of a prompt, in one row."""
    return joined(prompt_work(model, place, tokens, depth))


def work_of_token(model: TimedModel, place: Place, depth: float) -> tuple[float, ...]:
    """Return the quantities of one written token, in one row."""
    return joined(decode_work(model, place, depth))
