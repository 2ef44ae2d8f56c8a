import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.gguf.header import read_header
from localllm.gguf.keys import Keys
from localllm.gguf.writer import ALIGNMENT, TensorPlace, header_bytes, offsets, padded

NAME = st.text("abcdefgh.", min_size=1, max_size=12).map(lambda name: f"test.{name}")
PLAIN = st.one_of(
    st.tuples(st.just("u32"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("i32"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("f32"), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just("bool"), st.booleans()),
    st.tuples(st.just("u64"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("string"), st.text(min_size=1, max_size=20)),
)


@given(
    st.dictionaries(NAME, PLAIN, max_size=8),
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=3), max_size=5),
)
def test_what_is_written_is_read(tmp_path_factory, plain, shapes):
    path = tmp_path_factory.mktemp("g") / "m.gguf"
    keys = Keys()
    keys.set("general.architecture", "string", "test")
    for name, (kind, value) in plain.items():
        keys.set(name, kind, value)
    places = [
        TensorPlace(f"t{number}", tuple(shape), "F16", 2 * math.prod(shape))
        for number, shape in enumerate(shapes)
    ]
    raw = header_bytes(keys, places)
    path.write_bytes(raw + bytes(offsets(places)[-1]))
    header = read_header(path)
    assert header.data_offset == len(raw)
    assert [(t.name, t.shape[::-1], t.offset, t.size) for t in header.tensors] == [
        (place.name, place.shape, offset, place.size)
        for place, offset in zip(places, offsets(places), strict=False)
    ]
    assert {name: header.metadata[name] for name in plain} == {
        name: value for name, (_, value) in plain.items()
    }


def test_arrays_and_bytes_that_are_no_text(tmp_path):
    keys = Keys()
    keys.set("general.architecture", "string", "test")
    keys.set("test.tokens", "string", [b"\xff\xfe", "é", b""])
    keys.set("test.flags", "bool", [True, False, True])
    path = tmp_path / "m.gguf"
    path.write_bytes(header_bytes(keys, []))
    header = read_header(path)
    assert header.strings("test.tokens") == [b"\xff\xfe", "é".encode(), b""]
    assert list(header.metadata["test.flags"]) == [1, 0, 1]


@given(st.integers(0, 2**40))
def test_padding_reaches_the_next_multiple(size):
    assert size <= padded(size) < size + ALIGNMENT
    assert padded(size) % ALIGNMENT == 0


def test_a_number_that_does_not_fit_is_an_error():
    keys = Keys()
    keys.set("test.count", "u32", 2**32)
    with pytest.raises(struct.error):
        header_bytes(keys, [])
