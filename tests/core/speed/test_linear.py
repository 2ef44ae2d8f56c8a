"""The robust fit: planted figures come back, wrong measurements are dropped, intervals hold what they promise."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.core.speed.fits import FOLLOWS, figures, joined
from localllm.core.speed.linear import Observation, fit, half_width
from localllm.core.speed.work import Work

TABLE = (50e-6, 20e-6, 1 / 8e9, 1 / 8e9, 1 / 2e9) * 2


def models(chance: random.Random, count: int):
    """Yield works of models on a CPU: layers, then bytes of one class or the other, and cache."""
    for number in range(count):
        size = chance.uniform(0.05e9, 8e9)
        wide = number % 2
        cpu = Work(
            layers=chance.randint(12, 64),
            wide=size * wide,
            packed=size * (1 - wide),
            cache=chance.uniform(0, 0.5e9),
        )
        yield joined({"cpu": cpu, "gpu": Work()})


def seconds(true: Work, quantities) -> float:
    return sum(rate * quantity for rate, quantity in zip(true, quantities[:5], strict=True))


@settings(max_examples=30)
@given(
    st.floats(10e-6, 500e-6), st.floats(2e9, 100e9), st.floats(0.5, 2), st.floats(0.1, 2), st.integers(0, 99)
)
def test_planted_figures_come_back(layer, bandwidth, packed, cache, seed):
    true = Work(layer, 0.0, 1 / bandwidth, 1 / (packed * bandwidth), 1 / (cache * bandwidth))
    chance = random.Random(seed)
    seen = [Observation(str(i), row, seconds(true, row)) for i, row in enumerate(models(chance, 14))]
    solution = fit(seen, TABLE, FOLLOWS)
    assert not solution.dropped
    for row in models(random.Random(seed + 1000), 10):
        assert solution.seconds(row) == pytest.approx(seconds(true, row), rel=0.05)


@settings(max_examples=25)
@given(st.integers(0, 200))
def test_wrong_measurements_are_dropped(seed):
    chance = random.Random(seed)
    true = Work(80e-6, 0.0, 1 / 12e9, 1 / 10e9, 1 / 3e9)
    right, wrong = [], []
    for i, row in enumerate(models(chance, 20)):
        if i % 5 == 3:
            wrong.append(Observation(str(i), row, seconds(true, row) * chance.uniform(2, 10)))
        else:
            right.append(Observation(str(i), row, seconds(true, row) * math.exp(chance.gauss(0, 0.02))))
    solution = fit(right + wrong, TABLE, FOLLOWS)
    assert set(solution.dropped) >= set(wrong)
    assert len(solution.dropped) <= len(wrong) + 3
    for seen in right:
        assert solution.seconds(seen.quantities) == pytest.approx(seen.seconds, rel=0.12)


@pytest.mark.parametrize("noise", [0.03, 0.08, 0.15])
def test_intervals_hold_nine_of_ten_new_models(noise):
    chance = random.Random(7)
    true = Work(80e-6, 0.0, 1 / 12e9, 1 / 10e9, 1 / 3e9)
    inside = total = 0
    for _ in range(25):
        rows = list(models(chance, 24))
        told = [math.exp(chance.gauss(0, noise)) * seconds(true, row) for row in rows]
        seen = [Observation(str(i), rows[i], told[i]) for i in range(14)]
        found = figures(seen, TABLE)
        for row, measured in zip(rows[14:], told[14:], strict=True):
            predicted = sum(r * q for r, q in zip(found.rates, row, strict=True))
            inside += abs(math.log(measured / predicted)) <= found.half_width
            total += 1
    assert inside / total >= 0.90
    assert found.half_width < 4 * noise + 0.15, "and is not as wide as a barn door"


def test_what_nobody_measured_keeps_its_proportion():
    # everything is twice as slow as the table says; experts and the GPU were not measured
    row = joined({"cpu": Work(30, 0, 0, 1e9, 0), "gpu": Work()})
    seconds_of_table = sum(rate * quantity for rate, quantity in zip(TABLE, row, strict=True))
    solution = fit([Observation("m", row, 2 * seconds_of_table)], TABLE, FOLLOWS)
    assert solution.rates[1] == pytest.approx(2 * TABLE[1])
    assert solution.rates[5:] == TABLE[5:]


def test_a_model_that_is_asked_often_does_not_outweigh_the_others():
    many = joined({"cpu": Work(30, 0, 0, 1e9, 0), "gpu": Work()})
    other = joined({"cpu": Work(30, 0, 4e9, 0, 0), "gpu": Work()})
    seen = [Observation("many", many, 0.12)] * 300 + [Observation("other", other, 0.9)]
    assert fit(seen, TABLE, FOLLOWS).seconds(other) == pytest.approx(0.9, rel=0.1)


def test_more_measurements_narrow_the_interval():
    assert half_width([], 0.2) == pytest.approx(0.2)
    assert half_width([0.01] * 200, 0.2) < 0.1
    assert half_width([0.5] * 20, 0.2) == pytest.approx(0.6)
