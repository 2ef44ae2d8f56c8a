"""The bytes of converted weights are gguf-py's, for every 16-bit input and for whatever hypothesis thinks of."""

import threading

import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from localllm.core.convert.casts import PIECE, Encoder, encoded_size, type_for
from localllm.core.convert.tensors import as_float32

EVERY_16_BITS = np.arange(1 << 16, dtype=np.uint16)
BLOCKS = {"Q8_0": 32, "TQ1_0": 256, "TQ2_0": 256}


def encoded(values, source, target, encoder=None):
    pieces = (encoder or Encoder()).encode(values, source, target)
    return b"".join(piece.tobytes() for piece in pieces)


def expected(floats, target):
    with np.errstate(all="ignore"):
        return quantize(floats, GGMLQuantizationType[target]).tobytes()


def bf16(floats):
    return (np.asarray(floats, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def typical(count, seed=0):
    """Weights as models have them: one in 400 is too small for a normal F16."""
    return (np.random.default_rng(seed).standard_normal(count) * 0.02).astype(np.float32)


@pytest.mark.parametrize("target", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("source", ["BF16", "F16"])
def test_every_16_bit_input(source, target):
    values = EVERY_16_BITS.view(np.float16) if source == "F16" else EVERY_16_BITS
    if source == target:
        assert encoded(values, source, target) == EVERY_16_BITS.tobytes()
    else:
        assert encoded(values, source, target) == expected(as_float32(values, source), target)


def test_every_bf16_among_typical_weights_takes_the_way_by_arithmetic():
    values = bf16(typical(PIECE // 2))
    for first in range(0, 1 << 16, 1 << 12):
        values[:: values.size >> 12] = EVERY_16_BITS[first : first + (1 << 12)]
        assert encoded(values, "BF16", "F16") == expected(as_float32(values, "BF16"), "F16")


@pytest.mark.parametrize("target", ["F32", "F16", "BF16", "Q8_0", "TQ1_0", "TQ2_0"])
@pytest.mark.parametrize("source", ["F32", "F16", "BF16"])
def test_weights_of_several_pieces(source, target):
    floats = typical(3 * 256 * 301).reshape(3, 301, 256)
    values = {"F32": floats, "F16": floats.astype(np.float16), "BF16": bf16(floats)}[source]
    encoder = Encoder()
    data = encoded(values, source, target, encoder)
    assert data == expected(as_float32(values, source), target)
    assert len(data) == encoded_size(values.shape, target)
    assert encoder.overflowed == 0


@pytest.mark.parametrize("target", ["F16", "Q8_0"])
def test_a_transposed_matrix_is_encoded_row_by_row(target):
    values = typical(1024 * 640).reshape(1024, 640).T
    assert encoded(values, "F32", target) == expected(np.ascontiguousarray(values), target)


@pytest.mark.parametrize("target", ["F16", "BF16"])
@given(bits=arrays.arrays(np.uint32, st.integers(1, 300), elements=st.integers(0, 2**32 - 1)))
def test_any_float32(target, bits):
    floats = bits.view(np.float32)
    assert encoded(floats, "F32", target) == expected(floats, target)


@pytest.mark.parametrize("target", ["Q8_0", "TQ1_0", "TQ2_0"])
@settings(max_examples=40)
@given(data=st.data())
def test_any_finite_block(target, data):
    width = data.draw(st.sampled_from([16, 32]))
    kinds = {"width": width, "allow_nan": False, "allow_infinity": False}
    shape = (data.draw(st.integers(1, 3)), BLOCKS[target])
    floats = data.draw(arrays.arrays(np.float32, shape, elements=st.floats(**kinds)))
    assert encoded(floats, "F32", target) == expected(floats, target)


@given(quarters=arrays.arrays(np.int32, 31, elements=st.integers(-508, 508)))
def test_halves_are_rounded_away_from_zero(quarters):
    block = np.append(quarters / 4, 127).astype(np.float32)
    weights = np.frombuffer(encoded(block, "F32", "Q8_0"), np.int8)[2:]
    assert (weights == np.sign(block) * np.floor(np.abs(block) + 0.5)).all()


def test_the_largest_float_below_a_half_is_rounded_to_zero():
    block = np.full(32, np.nextafter(np.float32(0.5), np.float32(0)))
    block[0] = 127
    assert np.frombuffer(encoded(block, "F32", "Q8_0"), np.int8)[2:].tolist() == [127] + [0] * 31


def test_a_block_of_zeros_and_one_of_subnormals():
    floats = np.zeros((2, 32), np.float32)
    floats[1] = 1e-42
    data = encoded(floats, "F32", "Q8_0")
    assert data == expected(floats, "Q8_0")
    assert data[:34] == bytes(34)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_stays_visible(value):
    floats = typical(64)
    floats[5] = value
    for target in ("F16", "BF16", "Q8_0"):
        encoder = Encoder()
        data = np.frombuffer(encoded(floats, "F32", target, encoder), np.uint8)
        with np.errstate(invalid="ignore"):
            values = dequantize(data, GGMLQuantizationType[target])
        assert not np.isfinite(values[5])
        assert np.isfinite(values[32:]).all()
        assert encoder.overflowed == 0


def test_a_quiet_nan_keeps_its_sign():
    bits = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32)
    assert encoded(bits.view(np.float32), "F32", "BF16") == expected(bits.view(np.float32), "BF16")


@pytest.mark.parametrize("source", ["F32", "BF16"])
@pytest.mark.parametrize("value", [65536.0, -65536.0, 3e38])
def test_what_is_too_large_for_f16_is_counted(source, value):
    floats = typical(PIECE)
    floats[[1, 77_777, -1]] = value
    encoder = Encoder()
    data = encoded(bf16(floats) if source == "BF16" else floats, source, "F16", encoder)
    assert encoder.overflowed == 3
    assert np.isinf(np.frombuffer(data, np.float16)).sum() == 3


@pytest.mark.parametrize(("target", "limit"), [("F16", 65520), ("BF16", 3.3961776e38), ("Q8_0", 127 * 65520)])
def test_the_first_weight_that_is_counted(target, limit):
    limit = np.float32(limit)
    for value, count in ((limit, 1), (-limit, 1), (np.nextafter(limit, np.float32(0)), 0)):
        floats = np.zeros(32, np.float32)
        floats[3] = value
        encoder = Encoder()
        data = np.frombuffer(encoded(floats, "F32", target, encoder), np.uint8)
        with np.errstate(invalid="ignore"):
            kept = np.isfinite(dequantize(data, GGMLQuantizationType[target])).all()
        assert (encoder.overflowed, kept) == (count, not count)


def test_infinities_that_were_there_before_are_not_counted():
    encoder = Encoder()
    encoded(bf16([np.inf, -np.inf, np.nan, 1.0]), "BF16", "F16", encoder)
    assert encoder.overflowed == 0


def test_weights_without_dimensions_and_without_weights():
    assert encoded(np.float32(1.5).reshape(()), "F32", "F16") == np.float16(1.5).tobytes()
    assert encoded(np.empty((0, 32), np.float32), "F32", "Q8_0") == b""


def test_bytes_of_a_packed_type_are_copied():
    values = np.arange(2 * 34, dtype=np.uint8).reshape(2, 34)
    assert encoded(values, "MXFP4", "MXFP4") == values.tobytes()


def test_each_thread_has_an_encoder():
    values = bf16(typical(PIECE))
    data = {}

    def work(key, target):
        data[key] = encoded(values, "BF16", target)

    threads = [threading.Thread(target=work, args=(key, key)) for key in ("F16", "Q8_0")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert data == {key: expected(as_float32(values, "BF16"), key) for key in ("F16", "Q8_0")}


@pytest.mark.parametrize(
    ("shape", "wanted", "kind"),
    [
        ((5, 64), "Q8_0", "Q8_0"),
        ((64, 5), "Q8_0", "F16"),
        ((7, 256), "TQ1_0", "TQ1_0"),
        ((7, 128), "TQ2_0", "F16"),
        ((7, 5), "BF16", "BF16"),
        ((7, 5), "F32", "F32"),
    ],
)
def test_rows_that_do_not_divide_into_blocks_become_f16(shape, wanted, kind):
    assert type_for(shape, wanted) == kind


@pytest.mark.parametrize(
    ("kind", "size"), [("F32", 6144), ("BF16", 3072), ("Q8_0", 1632), ("TQ1_0", 324), ("MXFP4", 816)]
)
def test_sizes(kind, size):
    assert encoded_size((2, 3, 256), kind) == size
