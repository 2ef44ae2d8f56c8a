import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from localllm.engine.child.scoring import Scorer
from localllm.engine.reference_files import (
    PackedChunk,
    chunk_file,
    missing_chunks,
    read_chunk,
    read_tokens,
    write_chunk,
    write_tokens,
)
from localllm.errors import DamagedCache

LOGITS = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(2, 70)),
    elements=st.floats(-60, 60, width=32),
)


@pytest.fixture
def scorer():
    scorer = Scorer(2)
    yield scorer
    scorer.close()


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def unpacked(packed):
    """Return scale and lowest as columns, and every token's value."""
    values = np.zeros((len(packed.bits), packed.vocabulary), np.uint16)
    for number in range(len(values)):
        places, present = packed.row(number)
        values[number, places] = present
    scale, lowest = packed.scales.T.astype(np.float64)[..., None]
    return scale, lowest, values


def random_chunk(rows=3, vocabulary=12, seed=2):
    rng = np.random.default_rng(seed)
    present = rng.random((rows, vocabulary)) < 0.6
    values = rng.integers(1, 65536, int(present.sum())).astype(np.uint16)
    scales = rng.random((rows, 2)).astype(np.float32)
    return PackedChunk.of(vocabulary, scales, np.packbits(present, axis=1), values)


def is_same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(unpacked(one), unpacked(other), strict=True))


def right_tokens(logits):
    rows, vocabulary = logits.shape
    return (np.arange(rows) * 7 % vocabulary).astype(np.int32)


@settings(max_examples=40)
@given(LOGITS)
def test_the_cost_of_the_right_token(logits):
    scorer, right = Scorer(1), right_tokens(logits)
    expected = -log_softmax(logits)[np.arange(len(right)), right]
    assert scorer.nll(logits, right) == pytest.approx(expected, abs=2e-5, rel=1e-6)
    scorer.close()


@settings(max_examples=40)
@given(LOGITS)
def test_packed_probabilities_are_within_half_a_step(logits):
    scorer = Scorer(1)
    scale, lowest, values = unpacked(scorer.pack(logits))
    found = scale * values + lowest
    expected = log_softmax(logits)
    floor = expected.max(axis=1, keepdims=True) - 16
    assert np.abs(found - np.maximum(expected, floor)).max() <= scale.max() / 2 + 1e-5
    scorer.close()


@settings(max_examples=40)
@given(LOGITS, st.integers(0, 2**32 - 1), st.floats(0.01, 3))
def test_the_comparison_is_that_of_plain_float64(logits, seed, spread):
    """Against the same reference as it was packed, so that only the arithmetic differs."""
    scorer, right = Scorer(1), right_tokens(logits)
    packed = scorer.pack(logits)
    noise = np.random.default_rng(seed).normal(0, spread, logits.shape).astype(np.float32)
    other = logits + noise
    found = scorer.compare(other, right, packed)
    scale, lowest, values = unpacked(packed)
    reference = scale * values + lowest
    mine = log_softmax(other)
    likely = np.where(reference > -16, np.exp(reference) * (reference - mine), 0).sum(axis=1)
    rows = np.arange(len(right))
    assert found.divergence == pytest.approx(likely, abs=1e-4, rel=1e-4)
    assert found.nll == pytest.approx(-mine[rows, right], abs=3e-5, rel=1e-5)
    assert found.reference_nll == pytest.approx(-reference[rows, right], abs=3e-5, rel=1e-5)
    delta = np.exp(mine[rows, right]) - np.exp(reference[rows, right])
    assert found.delta_p == pytest.approx(delta, abs=2e-5)
    assert found.same_top.tolist() == (other.argmax(axis=1) == values.argmax(axis=1)).tolist()
    scorer.close()


def test_a_model_does_not_differ_from_itself(scorer):
    logits = np.random.default_rng(1).normal(0, 3, (200, 500)).astype(np.float32)
    found = scorer.compare(logits, right_tokens(logits), scorer.pack(logits))
    assert found.same_top.all()
    assert np.abs(found.divergence).max() < 1e-4
    assert np.abs(found.delta_p).max() < 1e-4


def test_equal_logits_are_a_row_without_steps(scorer):
    packed = scorer.pack(np.zeros((1, 8), np.float32))
    assert packed.scales[0].tolist() == pytest.approx([0, -math.log(8)])
    assert not packed.values.size


def test_the_lowest_of_equally_likely_tokens_counts_as_the_first_choice(scorer):
    tied = np.zeros((1, 8), np.float32)
    other = tied.copy()
    other[0, 5] = 1
    right = np.zeros(1, np.int32)
    assert scorer.compare(tied, right, scorer.pack(tied)).same_top.all()
    assert not scorer.compare(other, right, scorer.pack(tied)).same_top.any()


def test_chunks_are_kept_and_read_again(tmp_path):
    chunk = random_chunk()
    write_tokens(tmp_path, np.arange(8, dtype=np.int32).reshape(2, 4))
    assert missing_chunks(tmp_path, 2) == [0, 1]
    write_chunk(tmp_path, 1, chunk)
    assert missing_chunks(tmp_path, 2) == [0]
    assert is_same(read_chunk(tmp_path, 1, 3, 12), chunk)
    assert read_tokens(tmp_path, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert read_tokens(tmp_path / "none", 4).shape == (0, 4)


@pytest.mark.parametrize(("rows", "vocabulary"), [(2, 12), (3, 13), (3, 20), (4, 12)])
def test_chunks_of_another_size_are_not_taken(tmp_path, rows, vocabulary):
    write_chunk(tmp_path, 0, random_chunk(3, 12))
    with pytest.raises(DamagedCache):
        read_chunk(tmp_path, 0, rows, vocabulary)


@settings(max_examples=60)
@given(st.data())
def test_damaged_chunks_are_noticed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("chunks")
    write_chunk(folder, 0, random_chunk())
    content = bytearray(chunk_file(folder, 0).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["changed", "cut", "longer"])):
        case "changed":
            content[place] ^= data.draw(st.integers(1, 255))
        case "cut":
            del content[place:]
        case _:
            content += b"x"
    chunk_file(folder, 0).write_bytes(content)
    with pytest.raises(DamagedCache):
        read_chunk(folder, 0, 3, 12)


def test_a_missing_chunk_is_damage(tmp_path):
    with pytest.raises(DamagedCache):
        read_chunk(tmp_path, 0, 1, 10)
