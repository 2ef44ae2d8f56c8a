import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.core.evaluate.figures import FEWEST, figures_of
from localllm.core.evaluate.meaning import explain_figures, warnings_of
from localllm.engine.passes import ChunkScore
from localllm.texts import Translator


def scores(positions=400, chunks=4, seed=0, worse=0.05):
    """Chunks of a model that is a little worse than its reference."""
    rng = np.random.default_rng(seed)
    reference = rng.gamma(2, 1.5, positions)
    nll = np.maximum(reference + rng.normal(worse / 2, worse, positions), 1e-3)
    divergence = rng.gamma(1, worse / 10, positions)
    delta = np.exp(-nll) - np.exp(-reference)
    same = rng.random(positions) > worse
    parts = [np.array_split(values, chunks) for values in (nll, reference, divergence, delta, same)]
    return [ChunkScore(number, *(tuple(part[number].tolist()) for part in parts)) for number in range(chunks)]


def joined(parts, name):
    return np.concatenate([getattr(part, name) for part in parts])


@settings(max_examples=40)
@given(st.integers(2, 600), st.integers(0, 999), st.floats(0.001, 2))
def test_the_figures_are_those_of_the_formulas(positions, seed, worse):
    parts = scores(positions, 2, seed, worse)
    found = figures_of(parts)
    nll, base = joined(parts, "nll"), joined(parts, "reference_nll")
    kld, delta, same = (joined(parts, name) for name in ("divergence", "delta_p", "same_top"))
    n = len(nll)

    def error(values):
        return np.std(values) / math.sqrt(n - 1)

    assert found.positions == positions
    assert found.ppl.value == pytest.approx(np.exp(nll.mean()))
    assert found.ppl.error == pytest.approx(np.exp(nll.mean()) * error(nll), rel=1e-5)
    comparison = found.comparison
    assert comparison.base_ppl.value == pytest.approx(np.exp(base.mean()))
    assert comparison.ln_ratio.value == pytest.approx((nll - base).mean(), abs=1e-12)
    assert comparison.ln_ratio.error == pytest.approx(error(nll - base), rel=1e-3, abs=1e-7)
    assert comparison.correlation == pytest.approx(np.corrcoef(nll, base)[0, 1], abs=1e-6)
    assert comparison.divergence.mean.value == pytest.approx(kld.mean())
    assert comparison.divergence.mean.error == pytest.approx(error(kld), rel=1e-5)
    assert comparison.divergence.max == kld.max()
    assert comparison.divergence.median == pytest.approx(np.median(kld))
    assert comparison.rms_delta_p.value == pytest.approx(np.sqrt((delta**2).mean()))
    assert comparison.same_top.value == pytest.approx(same.mean())


def test_percentiles_lie_between_their_neighbours():
    parts = [ChunkScore(0, tuple([1.0] * 101), tuple([1.0] * 101), tuple(map(float, range(101))),
                        tuple([0.0] * 101), tuple([True] * 101))]  # fmt: skip
    divergence = figures_of(parts).comparison.divergence
    assert (divergence.median, divergence.p90, divergence.p99, divergence.p999) == (50, 90, 99, 99.9)


def test_a_model_that_is_its_reference_differs_in_nothing():
    plain = scores(worse=0.01)
    parts = [
        ChunkScore(s.number, s.nll, s.nll, tuple([0.0] * len(s.nll)), tuple([0.0] * len(s.nll)),
                   tuple([True] * len(s.nll)))
        for s in plain
    ]  # fmt: skip
    comparison = figures_of(parts).comparison
    assert (comparison.ln_ratio.value, comparison.same_top.value, comparison.rms_delta_p.value) == (0, 1, 0)
    assert comparison.correlation == pytest.approx(1)


def test_without_a_reference_there_is_perplexity_only():
    assert figures_of([ChunkScore(0, (1.0, 2.0))]).comparison is None


def test_few_positions_are_warned_of():
    few, enough = figures_of(scores(FEWEST - 2)), figures_of(scores(FEWEST + 2))
    assert "Take more chunks" in str(warnings_of(few)[0])
    assert warnings_of(enough) == ()


def test_what_a_perplexity_below_the_references_means_is_said():
    lower = figures_of(scores(2000, worse=0.02))
    swapped = figures_of(
        [
            ChunkScore(s.number, s.reference_nll, s.nll, s.divergence, s.delta_p, s.same_top)
            for s in scores(2000, worse=0.02)
        ]
    )
    assert warnings_of(lower) == ()
    assert "chance" in str(warnings_of(swapped)[0])


@pytest.mark.parametrize(
    ("divergence", "says"),
    [
        (0.0014, "Q8_0"),
        (0.0055, "Q6_K"),
        (0.0108, "Q5_K_M"),
        (0.028, "Q4_K_M"),
        (0.084, "Q3_K_M"),
        (0.33, "Q2_K"),
    ],
)
def test_each_type_of_an_8b_model_means_itself(divergence, says):
    parts = [ChunkScore(0, (1.0,) * 200, (1.0,) * 200, (divergence,) * 200, (0.0,) * 200, (True,) * 200)]
    rows = {str(row.name): str(row.meaning) for row in explain_figures(figures_of(parts))}
    assert f"like {says} " in rows["Divergence, mean"]


def test_numbers_are_written_as_the_language_does():
    rows = explain_figures(figures_of(scores()))
    assert "," in Translator("es").translate(rows[0].value)
