import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.convert.safetensors import MAX_HEADER, Shard, read_shard
from localllm.errors import CheckpointRefused
from tests.core.convert.tiny import NAMES, write_raw, write_safetensors

NAME = st.text("abcdefghij._0123456789", min_size=1, max_size=20)
SHAPE = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@st.composite
def weights(draw):
    made = {}
    for name in draw(st.lists(NAME, unique=True, min_size=1, max_size=6)):
        dtype, shape = draw(st.sampled_from(sorted(NAMES))), draw(SHAPE)
        values = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 200, shape)
        made[name] = (dtype, np.asarray(values).astype(NAMES[dtype]))
    return made


def read(path):
    return read_shard(path, Shard(path, path.stat().st_size))


@given(weights(), st.data())
def test_what_was_written_is_read_whole_and_by_rows(tmp_path_factory, made, data):
    path = tmp_path_factory.mktemp("s") / "model.safetensors"
    write_safetensors(path, made)
    found = read(path)
    assert [tensor.name for tensor in found] == sorted(made)
    for tensor in found:
        dtype, values = made[tensor.name]
        assert (tensor.dtype, tensor.shape) == (dtype, values.shape)
        np.testing.assert_array_equal(tensor.read(), values)
        if values.ndim:
            first = data.draw(st.integers(0, len(values)))
            last = data.draw(st.integers(first, len(values)))
            np.testing.assert_array_equal(tensor.read(first, last), values[first:last])
        tensor.shard.close()


@given(weights(), st.data())
def test_a_damaged_file_is_refused_or_read_within_its_bounds(tmp_path_factory, made, data):
    path = tmp_path_factory.mktemp("s") / "model.safetensors"
    write_safetensors(path, made)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    path.write_bytes(raw[:cut] if data.draw(st.booleans()) else raw)
    try:
        found = read(path)
    except CheckpointRefused:
        return
    covered = sum(tensor.size for tensor in found)
    assert covered <= path.stat().st_size - 8
    for tensor in found:
        assert tensor.read().nbytes == tensor.size
        tensor.shard.close()


@given(st.binary(max_size=300))
def test_noise_is_refused(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("s") / "model.safetensors"
    path.write_bytes(noise)
    if noise[:8] != struct.pack("<Q", 2):
        with pytest.raises(CheckpointRefused):
            read(path)


def entry(first, last, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}


TWICE = b'{"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
REFUSED = {
    "overlap": ({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6), None, "lies over"),
    "gap": ({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12), None, "belong to nothing"),
    "tail": ({"a": entry(0, 4)}, bytes(8), None, "belong to nothing"),
    "beyond": ({"a": entry(0, 4, (1,))}, bytes(3), None, "cut off"),
    "backwards": ({"a": entry(4, 0)}, bytes(4), None, "beyond its end"),
    "negative": ({"a": entry(-4, 0)}, bytes(4), None, "no place"),
    "huge shape": ({"a": entry(0, 4, (2**40, 2**40))}, bytes(4), None, "another size"),
    "wrapping shape": ({"a": entry(0, 0, (2**32, 2**32))}, b"", None, "another size"),
    "negative shape": ({"a": entry(0, 4, (-1, -1))}, bytes(4), None, "no shape"),
    "float shape": ({"a": entry(0, 4, (1.0,))}, bytes(4), None, "no shape"),
    "many dimensions": ({"a": entry(0, 4, (1,) * 9)}, bytes(4), None, "no shape"),
    "no type": ({"a": entry(0, 4, dtype="object")}, bytes(4), None, "no known type"),
    "a type to come": ({"a": entry(0, 4, (8,), "F4")}, bytes(4), None, "not supported yet"),
    "control characters": ({"a\x1b[2J": entry(0, 4)}, bytes(4), None, "impossible name"),
    "said twice": (TWICE, bytes(4), None, "twice"),
    "no JSON": (b"{", b"", None, "no JSON"),
    "deep JSON": (b"[" * 100_000, b"", None, "no JSON"),
    "a list": (b"[]", b"", None, "not what it should be"),
    "header of 200 MB": (b"{}", b"", 200 << 20, "header would be"),
    "header beyond the end": (b"{}", b"", 100, "cut off within"),
    "header of 2**63 bytes": (b"{}", b"", 2**63, "header would be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_header_that_lies_is_refused(tmp_path, case):
    entries, data, length, reason = REFUSED[case]
    path = tmp_path / "model.safetensors"
    write_raw(path, entries, data, length)
    with pytest.raises(CheckpointRefused, match=reason):
        read(path)


def test_a_header_that_is_long_but_allowed_is_read(tmp_path):
    path = tmp_path / "model.safetensors"
    padding = json.dumps({"__metadata__": {"k": "x" * 100_000}, "a": entry(0, 4)}).encode()
    write_raw(path, padding, bytes(4))
    assert [tensor.name for tensor in read(path)] == ["a"]
    assert len(padding) < MAX_HEADER


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": ("F32", np.zeros(1000, np.float32))})
    (tensor,) = read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointRefused, match="shorter"):
        tensor.read()
    tensor.shard.close()
