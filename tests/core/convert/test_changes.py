import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.convert import changes
from localllm.core.convert.tensors import Computed


def weight(values, dtype="F32"):
    return Computed("w", values.shape, dtype, lambda first, last: values[first:last])


def numbered(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def read_in_pieces(tensor, data):
    rows, pieces, first = tensor.shape[0], [], 0
    while first < rows:
        last = data.draw(st.integers(first + 1, rows))
        pieces.append(tensor.read(first, last))
        first = last
    return np.concatenate(pieces) if pieces else tensor.read()


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3), st.data())
def test_halves_of_heads_interleave_however_they_are_read(heads, half, columns, data):
    values = numbered(heads * half * 2, columns) if columns else numbered(heads * half * 2)
    expected = values.reshape(heads, 2, half, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
    np.testing.assert_array_equal(
        read_in_pieces(changes.interleaved_halves(weight(values), heads), data), expected
    )


@given(st.lists(st.integers(0, 19), min_size=1, max_size=30), st.data())
def test_rows_and_columns_are_picked_in_any_order(order, data):
    values = numbered(20, 20)
    np.testing.assert_array_equal(
        read_in_pieces(changes.picked_rows(weight(values), order), data), values[order]
    )
    np.testing.assert_array_equal(
        read_in_pieces(changes.picked_columns(weight(values), order), data), values[:, order]
    )


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_weights_lie_one_below_the_other(heights, data):
    parts = [numbered(height, 3) + 100 * number for number, height in enumerate(heights)]
    joined = changes.joined([weight(part) for part in parts])
    assert joined.shape == (sum(heights), 3)
    np.testing.assert_array_equal(read_in_pieces(joined, data), np.concatenate(parts))


@given(st.data())
def test_every_change_has_the_shape_it_says(data):
    stack = numbered(3, 4, 6)
    for changed, expected in (
        (changes.transposed(weight(stack)), stack.swapaxes(1, 2)),
        (changes.transposed(weight(stack[0])), stack[0].T),
        (changes.squeezed(weight(stack[:, None])), stack),
        (changes.squeezed(weight(stack[None])), stack),
        (changes.rows(weight(stack[0]), 1, 3), stack[0][1:3]),
        (changes.each_part(weight(stack), lambda part: changes.rows(part, 0, 2)), stack[:, :2]),
        (changes.plus_one(weight(stack[0])), stack[0] + 1),
    ):
        assert changed.shape == expected.shape
        np.testing.assert_array_equal(read_in_pieces(changed, data), expected)


def test_half_precision_stays_half_precision_when_one_is_added():
    values = np.array([0.0004, 2047.7], np.float16)
    added = changes.plus_one(weight(values, "F16")).read()
    assert added.dtype == np.float16
    np.testing.assert_array_equal(added, values + np.float16(1))


def test_heads_that_do_not_divide_the_rows_are_refused():
    with pytest.raises(ValueError, match="heads"):
        changes.interleaved_halves(weight(numbered(10, 2)), 4)
