"""FP8 and eight-bit integers with scales, against the formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.convert.dequantize import dequantized
from localllm.errors import CheckpointRefused
from tests.core.convert.quantized import assert_reads, bf16, e4m3, held

FP8 = {"quant_method": "fp8"}


def blocks_of(scales, rows, columns, shape):
    """The scale of each element."""
    return scales[..., np.arange(shape[-2])[:, None] // rows, np.arange(shape[-1])[None, :] // columns]


@pytest.mark.parametrize("shape", [(256, 256), (130, 300), (1, 5), (257, 128), (2, 130, 129)])
def test_fp8_in_blocks(shape):
    random = np.random.default_rng(0)
    bits, values = e4m3(random, *shape)
    scales = random.random((*shape[:-2], -(-shape[-2] // 128), -(-shape[-1] // 128)), np.float32)
    tensors = held(m__weight=bits, m__weight_scale_inv=scales, norm__weight=np.ones(3, np.float16))
    result = dequantized(tensors, FP8 | {"weight_block_size": [128, 128]})
    assert list(result) == ["m.weight", "norm.weight"]
    assert_reads(result["m.weight"], values * blocks_of(scales, 128, 128, shape))
    assert result["norm.weight"] is tensors["norm.weight"]


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    height=st.integers(1, 17),
    width=st.integers(1, 17),
    data=st.data(),
)
def test_fp8_in_blocks_of_any_size_read_anywhere(rows, columns, height, width, data):
    random = np.random.default_rng(rows)
    bits, values = e4m3(random, rows, columns)
    scales = random.random((-(-rows // height), -(-columns // width)), np.float32)
    tensors = held(m__weight=bits, m__weight_scale_inv=scales)
    weight = dequantized(tensors, FP8 | {"weight_block_size": [height, width]})["m.weight"]
    first = data.draw(st.integers(0, rows - 1))
    last = data.draw(st.integers(first + 1, rows))
    expected = values * blocks_of(scales, height, width, (rows, columns))
    assert (weight.read(first, last) == expected[first:last]).all()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_fp8_with_one_scale(shape):
    random = np.random.default_rng(0)
    bits, values = e4m3(random, 20, 33)
    scale = np.full(shape, 0.013, np.float32)
    tensors = held(m__weight=bits, m__weight_scale_inv=scale, m__activation_scale=scale, k__input_scale=scale)
    result = dequantized(tensors, FP8 | {"weight_block_size": None, "activation_scheme": "static"})
    assert list(result) == ["m.weight"]
    assert_reads(result["m.weight"], values * np.float32(0.013))


def test_fp8_experts_with_a_scale_for_each():
    random = np.random.default_rng(0)
    bits, values = e4m3(random, 3, 20, 33)
    scale = random.random(3, np.float32)
    result = dequantized(held(experts__gate_up_proj=bits, experts__gate_up_proj_scale_inv=scale), FP8)
    assert_reads(result["experts.gate_up_proj"], values * scale[:, None, None])


def test_every_e4m3_value_survives():
    bits = np.arange(256, dtype=np.uint8).reshape(16, 16)
    weight = dequantized(
        held(m__weight=("F8_E4M3", bits), m__weight_scale_inv=np.float32(1).reshape(())), FP8
    )["m.weight"]
    values = weight.read().reshape(-1)
    assert np.isnan(values[[0x7F, 0xFF]]).all()
    assert np.isfinite(np.delete(values, [0x7F, 0xFF])).all()
    assert values[[0x01, 0x08, 0x38, 0x7E, 0xFE]].tolist() == [2**-9, 2**-6, 1, 448, -448]


@pytest.mark.parametrize("config", [{"quant_method": "fbgemm_fp8"}, {"quant_algo": "FP8"}])
def test_fp8_of_fbgemm_and_modelopt(config):
    random = np.random.default_rng(0)
    bits, values = e4m3(random, 20, 33)
    scale = random.random((20, 1) if "quant_method" in config else (), np.float32)
    tensors = held(m__weight=bits, m__weight_scale=scale, m__input_scale_ub=scale, m__k_scale=scale)
    result = dequantized(tensors, config)
    assert list(result) == ["m.weight"]
    assert_reads(result["m.weight"], values * scale)


def ct_config(form, **weights):
    groups = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int"} | weights}}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": groups}


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(
    ("scale_shape", "size"), [((20, 1), None), ((20,), None), ((1,), None), ((20, 3), 16)]
)
def test_integers_with_scales(scale_shape, size, zeros):
    random = np.random.default_rng(0)
    weights = random.integers(-128, 128, (20, 48)).astype(np.int8)
    bits, scales = bf16(random, *scale_shape)
    tensors = held(m__weight=weights, m__weight_scale=bits)
    zero = np.zeros(scale_shape, np.int8)
    if zeros:
        zero = random.integers(-128, 128, scale_shape).astype(np.int8)
        tensors |= held(m__weight_zero_point=zero)
    result = dequantized(tensors, ct_config("int-quantized", group_size=size))
    assert list(result) == ["m.weight"]

    def each(values):
        values = values.reshape(20, -1) if values.size > 1 else values.reshape(1, 1)
        return np.repeat(values, 48 // values.shape[1], axis=1)

    assert_reads(
        result["m.weight"], (weights - each(zero).astype(np.int64)).astype(np.float32) * each(scales)
    )


def test_floats_with_scales_in_blocks():
    random = np.random.default_rng(0)
    bits, values = e4m3(random, 130, 129)
    stored, scales = bf16(random, 2, 2)
    config = ct_config("float-quantized", type="float", strategy="block", block_structure=[128, 128])
    result = dequantized(held(m__weight=bits, m__weight_scale=stored), config)
    assert_reads(result["m.weight"], values * blocks_of(scales, 128, 128, (130, 129)))


def test_integers_of_bitsandbytes():
    random = np.random.default_rng(0)
    weights = random.integers(-127, 128, (20, 48)).astype(np.int8)
    scales = random.random(20, np.float32)
    tensors = held(m__weight=weights, m__SCB=scales, m__weight_format=np.zeros((), np.uint8), m__bias=scales)
    result = dequantized(tensors, {"load_in_8bit": True})
    assert list(result) == ["m.weight", "m.bias"]
    assert_reads(result["m.weight"], weights * scales[:, None] * np.float32(1 / 127))


def test_integers_ordered_for_certain_gpus_are_refused():
    weights = np.ones((2, 3), np.int8)
    tensors = held(m__weight=weights, m__SCB=np.ones(2, np.float32), m__weight_format=np.ones((), np.uint8))
    with pytest.raises(CheckpointRefused, match="turing"):
        dequantized(tensors, {"quant_method": "bitsandbytes"})["m.weight"].read()


@pytest.mark.parametrize(
    ("shape", "scale_shape", "block"),
    [
        ((256, 256), (2, 1), [128, 128]),
        ((256, 256), (3, 2), [128, 128]),
        ((256, 256), (2,), [128, 128]),
        ((256, 256), (1, 2, 2), [128, 128]),
        ((256, 256), (2, 2), None),
        ((256, 256), (255, 1), None),
        ((256, 0), (256, 1), None),
        ((256,), (1,), None),
        ((2, 16, 16), (3,), None),
    ],
)
def test_scales_that_do_not_fit_are_refused(shape, scale_shape, block):
    tensors = held(
        m__weight=("F8_E4M3", np.zeros(shape, np.uint8)), m__weight_scale_inv=np.ones(scale_shape, np.float32)
    )
    with pytest.raises(CheckpointRefused, match="do not fit together"):
        dequantized(tensors, FP8 | {"weight_block_size": block})


@pytest.mark.parametrize("block", [[128], [0, 1], [-1, 1], "128", [1.5, 2], [1, 2, 3], {}])
def test_blocks_that_are_none_are_refused(block):
    with pytest.raises(CheckpointRefused):
        dequantized({}, FP8 | {"weight_block_size": block})


def test_a_weight_without_its_scale_and_a_scale_without_its_weight():
    weight = held(m__weight=("F8_E4M3", np.zeros((2, 2), np.uint8)))
    scale = held(m__weight_scale_inv=np.ones((2, 1), np.float32))
    for tensors in (weight, scale, scale | held(m__weight=np.ones((2, 2), np.float32))):
        with pytest.raises(CheckpointRefused, match=r"“m\.weight” do not fit together"):
            dequantized(tensors, FP8)
