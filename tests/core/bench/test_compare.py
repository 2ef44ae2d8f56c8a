import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.bench.compare import compare, differences
from localllm.core.bench.statistics import incomplete_beta, welch
from tests.core.bench.rows import row


# t = -1 with 8 degrees of freedom, and none at all
@pytest.mark.parametrize(
    ("one", "other", "chance"),
    [
        ([1, 2, 3, 4, 5], [2, 3, 4, 5, 6], 0.34659350708733416),
        ([10.0, 10.1, 9.9], [10.0, 10.1, 9.9], 1.0),
    ],
)
def test_welchs_test(one, other, chance):
    assert welch(one, other) == pytest.approx(chance, rel=1e-9)


def test_of_series_without_spread_any_difference_counts():
    assert welch([1, 1], [2, 2]) == 0.0
    assert welch([1, 1], [1, 1]) == 1.0
    assert welch([1], [2, 3]) is None


def test_students_table():
    """The two-sided 5 % values of t that every textbook prints."""
    for freedom, t in ((1, 12.706), (4, 2.776), (10, 2.228), (30, 2.042), (120, 1.980)):
        assert incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5) == pytest.approx(0.05, rel=2e-3)


@given(st.floats(0, 1), st.integers(1, 40), st.integers(1, 40))
def test_incomplete_beta_is_the_binomial_tail(x, a, b):
    n = a + b - 1
    tail = sum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
    assert incomplete_beta(x, a, b) == pytest.approx(tail, rel=1e-8, abs=1e-12)


SLOW, FAST = (1000, 1010, 990, 1005), (500, 505, 495, 503)


def test_before_and_after_differ_in_one_setting():
    before = [row(SLOW, n_threads=1), row(SLOW, n_threads=1, n_prompt=0, n_gen=4)]
    after = [row(FAST, n_threads=2), row(SLOW[::-1], n_threads=2, n_prompt=0, n_gen=4)]
    read, written = compare(before, after)
    assert (read.test, written.test) == ("pp16", "tg4")
    assert read.ratio == pytest.approx(2, rel=0.01)
    assert read.significant
    assert written.ratio == pytest.approx(1)
    assert not written.significant
    assert differences(before, after) == {"n_threads": (1, 2)}


def test_what_varies_within_a_run_tells_its_tests_apart():
    before = [row(SLOW, n_threads=1), row(FAST, n_threads=2)]
    one, other, third = compare(before, [*before[::-1], row(FAST, n_threads=4)])
    assert (one.settings, other.settings) == ({"n_threads": 1}, {"n_threads": 2})
    assert one.ratio == other.ratio == 1
    assert third.before is None
    assert third.ratio is None


def test_the_same_model_elsewhere_is_the_same_model():
    found = compare([row(model_filename="/a/m.gguf")], [row(model_filename="/b/m.gguf")])
    assert len(found) == 1


def test_disturbed_repetitions_do_not_count():
    calm = row((1000, 1010, 9000), disturbed=((), (), ("load",)))
    (found,) = compare([calm], [row((1000, 1010))])
    assert found.ratio == pytest.approx(1)
    assert found.chance == pytest.approx(1)
