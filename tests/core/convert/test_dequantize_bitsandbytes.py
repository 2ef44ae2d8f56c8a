"""NF4 and FP4 as bitsandbytes stores them, against its documentation's formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.convert.dequantize import dequantized
from localllm.errors import CheckpointRefused
from tests.core.convert.quantized import STORED, Held, assert_reads, held, nf4_state

CONFIG = {"quant_method": "bitsandbytes", "load_in_4bit": True}
LEVELS = np.sort(np.random.default_rng(7).uniform(-1, 1, 16)).astype(np.float32)


def case(shape=(24, 96), block=64, *, nested=False, kind="nf4", storage="U8", seed=0):
    """The tensors of a weight and what it is; scales are quantized themselves if `nested`."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, 16, int(np.prod(shape)))
    padded = np.pad(codes, (0, codes.size % 2)).reshape(-1, 2)
    data = (padded[:, 0] << 4 | padded[:, 1]).astype(np.uint8)
    blocks = -(-codes.size // block)
    scales = random.random(blocks, np.float32)
    tensors = held(m__weight__quant_map=LEVELS)
    more = {}
    if nested:
        levels, factors = random.random(256, np.float32), random.random(-(-blocks // 16), np.float32)
        stored = random.integers(0, 256, blocks).astype(np.uint8)
        offset = 0.0078125 * 3
        scales = levels[stored] * factors[np.arange(blocks) // 16] + np.float32(offset)
        tensors |= held(
            m__weight__absmax=stored, m__weight__nested_absmax=factors, m__weight__nested_quant_map=levels
        )
        more = {"nested_blocksize": 16, "nested_dtype": "float32", "nested_offset": offset}
    else:
        tensors |= held(m__weight__absmax=scales)
    tensors["m.weight"] = Held("m.weight", storage, data.view(STORED[storage])[:, None])
    name = f"m.weight.quant_state.bitsandbytes__{kind}"
    tensors[name] = Held(name, "U8", nf4_state(shape, {"blocksize": block} | more))
    expected = LEVELS[codes] * scales[np.arange(codes.size) // block]
    return tensors, expected.reshape(shape)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize(("shape", "block"), [((24, 96), 64), ((7, 30), 32), ((5, 5), 64), ((3, 4, 24), 128)])
def test_four_bits(shape, block, kind, nested):
    tensors, expected = case(shape, block, nested=nested, kind=kind)
    tensors |= held(m__bias=np.ones(3, np.float16))
    result = dequantized(tensors, CONFIG)
    assert set(result) == {"m.weight", "m.bias"}
    assert_reads(result["m.weight"], expected)


@pytest.mark.parametrize("storage", ["I8", "F16", "BF16", "F32"])
def test_four_bits_that_are_stored_as_another_type(storage):
    tensors, expected = case(storage=storage)
    assert_reads(dequantized(tensors, CONFIG)["m.weight"], expected)


@given(
    rows=st.integers(1, 30),
    columns=st.integers(1, 40),
    block=st.sampled_from([8, 32, 64]),
    nested=st.booleans(),
    data=st.data(),
)
def test_rows_of_any_length_read_anywhere(rows, columns, block, nested, data):
    tensors, expected = case((rows, columns), block, nested=nested)
    weight = dequantized(tensors, CONFIG)["m.weight"]
    first = data.draw(st.integers(0, rows - 1))
    last = data.draw(st.integers(first + 1, rows))
    assert (weight.read(first, last) == expected[first:last]).all()


STATE = "m.weight.quant_state.bitsandbytes__nf4"


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"{", b"{}", b"[" * 60_000, b"\xff", b" " * 70_000,
        *(
            nf4_state((24, 96), change).tobytes()
            for change in (
                {"blocksize": 0}, {"blocksize": -64}, {"blocksize": 64.0}, {"blocksize": 2**40}, {"blocksize": True},
                {"blocksize": 32}, {"shape": [24]}, {"shape": [24, 97]}, {"shape": [24, -96]}, {"shape": [24.0, 96]},
                {"shape": "24"}, {"shape": [2**60, 2**60]}, {"shape": [1] * 9}, {"nested_offset": "x"},
                {"nested_offset": float("inf")}, {"nested_blocksize": 0},
            )
        ),
    ],
)  # fmt: skip
def test_descriptions_that_make_no_sense_are_refused(text):
    tensors, _ = case()
    tensors[STATE].values = np.frombuffer(text, np.uint8)
    with pytest.raises(CheckpointRefused, match=r"“m\.weight” do not fit together"):
        dequantized(tensors, CONFIG)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("m.weight", lambda values: values[:-1]),
        ("m.weight", lambda values: values.reshape(1, -1)),
        ("m.weight.absmax", lambda values: values[:-1]),
        ("m.weight.quant_map", lambda values: values[:-1]),
        ("m.weight.nested_absmax", lambda values: values[:-1]),
        ("m.weight.nested_quant_map", lambda values: values[:-1]),
    ],
)
def test_parts_that_do_not_fit_are_refused(name, change):
    tensors, _ = case(nested=True)
    tensors[name].values = change(tensors[name].values)
    with pytest.raises(CheckpointRefused, match=r"“m\.weight” do not fit together"):
        dequantized(tensors, CONFIG)


@pytest.mark.parametrize(
    "name", ["m.weight", "m.weight.quant_map", "m.weight.nested_absmax", "m.weight.nested_quant_map", STATE]
)
def test_a_part_that_is_missing_is_refused(name):
    tensors, _ = case(nested=True)
    del tensors[name]
    with pytest.raises(CheckpointRefused, match=r"“m\.weight” do not fit together"):
        dequantized(tensors, CONFIG)
