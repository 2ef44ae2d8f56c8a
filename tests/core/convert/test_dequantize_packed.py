"""GPTQ, AWQ and compressed-tensors' packed integers against the formula in 64-bit integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.convert.dequantize import dequantized
from localllm.errors import CheckpointRefused
from tests.core.convert.quantized import assert_reads, bf16, held, packed


def formula(weights, zeros, scales, groups):
    """[out, in] from integers [out, in], and zeros and scales [out, groups]."""
    return (weights - zeros[:, groups]).astype(np.float32) * scales.astype(np.float32)[:, groups]


def gptq_case(bits=4, rows=64, columns=96, groups=3, *, seed=0, ordered=True, more=1):
    """The tensors of a module and what its weight is; some stored zero points are all ones."""
    random = np.random.default_rng(seed)
    weights = random.integers(0, 1 << bits, (rows, columns))
    stored = random.integers(0, 1 << bits, (rows, groups))
    stored[::5] = (1 << bits) - 1
    scales = random.standard_normal((rows, groups)).astype(np.float16)
    order = np.arange(columns) // -(-columns // groups)
    order = order if ordered else random.permutation(order)
    tensors = held(
        m__qweight=packed(weights.T, bits, axis=0),
        m__qzeros=packed(stored.T, bits),
        m__scales=np.ascontiguousarray(scales.T),
        m__g_idx=order.astype(np.int32),
    )
    return tensors, formula(weights, stored + more, scales, order)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("layout", "more"), [("gptq", 1), ("gptq_v2", 0)])
def test_gptq(bits, ordered, layout, more):
    tensors, expected = gptq_case(bits, ordered=ordered, more=more)
    result = dequantized(tensors, {"quant_method": "gptq", "bits": bits, "checkpoint_format": layout})
    assert list(result) == ["m.weight"]
    assert_reads(result["m.weight"], expected)


def test_gptq_says_first_layout_if_it_says_none():
    tensors, expected = gptq_case()
    assert_reads(dequantized(tensors, {"quant_method": "gptq", "bits": 4})["m.weight"], expected)


def test_gptq_without_an_order_of_the_columns():
    tensors, expected = gptq_case()
    del tensors["m.g_idx"]
    assert_reads(dequantized(tensors, {"quant_method": "gptq", "bits": 4})["m.weight"], expected)


def test_gptq_with_a_last_group_that_is_smaller():
    tensors, expected = gptq_case(columns=80, groups=3)
    assert_reads(dequantized(tensors, {"quant_method": "gptq", "bits": 4})["m.weight"], expected)


def test_gptq_where_one_module_has_other_bits_than_the_rest():
    tensors, expected = gptq_case(bits=8)
    assert_reads(dequantized(tensors, {"quant_method": "gptq", "bits": 4})["m.weight"], expected)


def test_gptq_reads_a_packed_matrix_once_while_its_rows_are_read():
    tensors, _ = gptq_case()
    tensors |= {name.replace("m.", "n."): tensor for name, tensor in gptq_case(seed=1)[0].items()}
    result = dequantized(tensors, {"quant_method": "gptq", "bits": 4})
    for module in ("m", "n"):
        for first in range(0, 64, 8):
            result[f"{module}.weight"].read(first, first + 8)
        assert tensors[f"{module}.qweight"].reads == [(0, None)]
    assert set(result["m.weight"].sources) == {
        tensors[f"m.{part}"] for part in ("qweight", "qzeros", "scales", "g_idx")
    }


def awq_case(rows=24, columns=64, groups=2):
    random = np.random.default_rng(0)
    weights, zeros = random.integers(0, 16, (rows, columns)), random.integers(0, 16, (rows, groups))
    zeros[:3] = 15
    scales = random.standard_normal((rows, groups)).astype(np.float16)
    columns_of_nibbles = np.arange(rows).reshape(-1, 8)[:, [0, 2, 4, 6, 1, 3, 5, 7]].reshape(-1)
    tensors = held(
        m__qweight=packed(weights.T[:, columns_of_nibbles], 4),
        m__qzeros=packed(zeros.T[:, columns_of_nibbles], 4),
        m__scales=np.ascontiguousarray(scales.T),
        m__bias=np.ones(rows, np.float16),
    )
    return tensors, formula(weights, zeros, scales, np.arange(columns) // (columns // groups))


@pytest.mark.parametrize("groups", [1, 2, 64])
def test_awq(groups):
    tensors, expected = awq_case(groups=groups)
    result = dequantized(tensors, {"quant_method": "awq", "bits": 4, "version": "gemm"})
    assert list(result) == ["m.bias", "m.weight"]
    assert_reads(result["m.weight"], expected)


def ct_config(bits=4, size=16, **more):
    weights = {
        "num_bits": bits,
        "type": "int",
        "group_size": size,
        "strategy": "group" if size else "channel",
    }
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups, **more}


def ct_case(bits=4, rows=27, columns=48, size=16, *, zeros=False, order=None, seed=0):
    random = np.random.default_rng(seed)
    groups = columns // size if size else 1
    weights = random.integers(0, 1 << bits, (rows, columns))
    stored = (
        random.integers(0, 1 << bits, (rows, groups)) if zeros else np.full((rows, groups), 1 << bits - 1)
    )
    bits_of_scales, scales = bf16(random, rows, groups)
    tensors = held(
        m__weight_packed=packed(weights, bits),
        m__weight_scale=bits_of_scales,
        m__weight_shape=np.array([rows, columns]),
    )
    if zeros:
        tensors |= held(m__weight_zero_point=packed(stored, bits, axis=0))
    of_columns = np.arange(columns) * groups // columns
    if order == "permuted":
        of_columns = random.permutation(of_columns)
    if order is not None:
        said = np.full(columns, -1) if order == "none" else of_columns
        tensors |= held(m__weight_g_idx=said.astype(np.int32))
    return tensors, formula(weights, stored, scales, of_columns)


@pytest.mark.parametrize("order", [None, "none", "permuted"])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_packed_in_groups(bits, zeros, order):
    tensors, expected = ct_case(bits, zeros=zeros, order=order)
    result = dequantized(tensors, ct_config(bits))
    assert list(result) == ["m.weight"]
    assert_reads(result["m.weight"], expected)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("columns", [48, 45])
@pytest.mark.parametrize("bits", [4, 8])
def test_packed_with_a_scale_for_each_row(bits, columns, zeros):
    tensors, expected = ct_case(bits, columns=columns, size=None, zeros=zeros)
    assert_reads(dequantized(tensors, ct_config(bits, None))["m.weight"], expected)


def test_packed_with_two_kinds_of_modules():
    tensors, expected = ct_case(4)
    others, other = ct_case(8, size=None)
    tensors |= {name.replace("m.", "n."): tensor for name, tensor in others.items()}
    config = ct_config(4)
    config["config_groups"] |= {"group_1": ct_config(8, None)["config_groups"]["group_0"]}
    result = dequantized(tensors, config)
    assert_reads(result["m.weight"], expected)
    assert_reads(result["n.weight"], other)


@given(rows=st.integers(1, 40), groups=st.integers(1, 4), seed=st.integers(0, 99), data=st.data())
def test_packed_rows_of_any_number_read_anywhere(rows, groups, seed, data):
    tensors, expected = ct_case(4, rows, groups * 16, 16, zeros=True, seed=seed)
    weight = dequantized(tensors, ct_config(4))["m.weight"]
    first = data.draw(st.integers(0, rows - 1))
    last = data.draw(st.integers(first + 1, rows))
    assert (weight.read(first, last) == expected[first:last]).all()


CONFIGS = {
    "gptq": (gptq_case, {"quant_method": "gptq", "bits": 4}),
    "awq": (awq_case, {"quant_method": "awq"}),
    "packed": (lambda: ct_case(zeros=True, order="permuted"), ct_config()),
}
BROKEN = [
    ("gptq", "scales", lambda values: values[:, :-1]),
    ("gptq", "scales", lambda values: values[:0]),
    ("gptq", "scales", lambda values: values.astype(np.int32)),
    ("gptq", "qzeros", lambda values: values[:, :-1]),
    ("gptq", "qzeros", lambda values: values[:-1]),
    ("gptq", "qweight", lambda values: values[0]),
    ("gptq", "qweight", lambda values: values.astype(np.int64)),
    ("gptq", "qweight", lambda values: values[:, :-4]),
    ("gptq", "g_idx", lambda values: values[:-1]),
    ("gptq", "g_idx", lambda values: values[:0]),
    ("gptq", "g_idx", lambda values: values + 1),
    ("gptq", "g_idx", lambda values: values - 1),
    ("awq", "scales", lambda values: values[:, :-1]),
    ("awq", "qzeros", lambda values: values[:, :-1]),
    ("awq", "qzeros", lambda values: values[:1]),
    ("awq", "qweight", lambda values: values[:-1]),
    ("awq", "qweight", lambda values: values[:, :0]),
    ("packed", "weight_scale", lambda values: values[:, :-1]),
    ("packed", "weight_scale", lambda values: values[:-1]),
    ("packed", "weight_zero_point", lambda values: values[:-1]),
    ("packed", "weight_packed", lambda values: values[:, :-1]),
    ("packed", "weight_shape", lambda values: values[:1]),
    ("packed", "weight_shape", lambda values: values + 1),
    ("packed", "weight_shape", lambda values: values * [1, 2**40]),
    ("packed", "weight_shape", lambda values: values * -1),
    ("packed", "weight_g_idx", lambda values: values + 1),
]


@pytest.mark.parametrize(("case", "part", "change"), BROKEN)
def test_parts_that_do_not_fit_are_refused(case, part, change):
    make, config = CONFIGS[case]
    tensors, _ = make()
    tensor = tensors[f"m.{part}"]
    tensor.values = change(tensor.values)
    if tensor.values.dtype.kind == "i":
        tensor.dtype = {4: "I32", 8: "I64"}[tensor.values.itemsize]
    with pytest.raises(CheckpointRefused, match="do not fit together"):
        dequantized(tensors, config)["m.weight"].read()


@pytest.mark.parametrize(
    ("case", "part"),
    [
        ("gptq", "scales"),
        ("gptq", "qzeros"),
        ("awq", "qzeros"),
        ("packed", "weight_scale"),
        ("packed", "weight_shape"),
    ],
)
def test_a_part_that_is_missing_is_refused(case, part):
    make, config = CONFIGS[case]
    tensors, _ = make()
    del tensors[f"m.{part}"]
    with pytest.raises(CheckpointRefused, match="do not fit together"):
        dequantized(tensors, config)


@pytest.mark.parametrize(
    ("case", "changes", "named"),
    [
        ("gptq", {"checkpoint_format": "marlin"}, "marlin"),
        ("gptq", {"is_marlin_format": True}, "marlin"),
        ("awq", {"version": "gemv"}, "gemv"),
        ("awq", {"bits": 3}, "3 bit"),
        ("packed", {"format": "nvfp4-pack-quantized"}, "nvfp4"),
        ("packed", {"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparse-24"),
        ("packed", {"transform_config": {"config_groups": {"u": {}}}}, "transform"),
        ("packed", ct_config(3), "3 bit"),
    ],
)
def test_variants_that_are_not_covered_are_named(case, changes, named):
    make, config = CONFIGS[case]
    with pytest.raises(CheckpointRefused, match=named):
        dequantized(make()[0], config | changes)


def test_gptq_of_three_bits_is_named():
    tensors, _ = gptq_case(bits=4)
    tensors["m.qweight"].values = tensors["m.qweight"].values[:9]
    with pytest.raises(CheckpointRefused, match="3 bit"):
        dequantized(tensors, {"quant_method": "gptq", "bits": 3})


@pytest.mark.parametrize(
    "groups",
    [
        None,
        [],
        {"a": {"weights": {}}},
        {"a": {"weights": {"num_bits": "4"}}},
        {"a": 3},
        {"a": {"weights": [1]}},
    ],
)
def test_nonsense_in_the_configuration_is_refused(groups):
    tensors, _ = ct_case()
    with pytest.raises(CheckpointRefused):
        dequantized(tensors, ct_config() | {"config_groups": groups})
