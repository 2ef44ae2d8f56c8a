"""Which method reads which tensors, in which order; MXFP4; and whole checkpoints, packed and not."""

import tracemalloc

import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

from localllm.core.convert.checkpoint import open_checkpoint
from localllm.core.convert.dequantize import dequantized
from localllm.core.convert.dequantize.mxfp4 import repacked
from localllm.core.convert.plan import make_plan
from localllm.errors import CheckpointRefused
from tests.core.convert import checkpoints
from tests.core.convert.quantized import held


@pytest.mark.parametrize(
    "method",
    ["aqlm", "hqq", "quip", "eetq", "torchao", "vptq", "higgs", "quark", "spqr", "auto-round", "x" * 500],
)
def test_other_methods_are_refused_by_name(method):
    with pytest.raises(CheckpointRefused) as caught:
        dequantized({}, {"quant_method": method})
    assert method[:60] in str(caught.value)
    assert caught.value.hint


def test_bitnets_packed_weights_are_refused_with_the_reason():
    with pytest.raises(CheckpointRefused, match=r"BitNet.* no longer be this model"):
        dequantized({}, {"quant_method": "bitnet"})


@pytest.mark.parametrize(
    "said", [{}, {"quant_method": None}, {"quant_method": 3}, {"quant_method": ["gptq"]}]
)
def test_a_configuration_that_names_no_method_is_refused(said):
    with pytest.raises(CheckpointRefused, match="cannot be read yet"):
        dequantized({}, said)


@pytest.mark.parametrize("said", [{"quant_algo": "NVFP4"}, {"quant_algo": None}])
def test_other_types_of_modelopt_are_refused_by_name(said):
    with pytest.raises(CheckpointRefused, match="ModelOpt"):
        dequantized({}, said)


@pytest.mark.parametrize("method", ["fp8", "gptq", "awq", "bitsandbytes", "compressed-tensors"])
def test_a_packed_weight_that_nothing_explains_is_refused(method):
    config = {"quant_method": method, "bits": 4}
    tensors = held(
        m__strange=np.ones((2, 2), np.int8), ids=np.arange(3), n__weight=np.ones((2, 2), np.float16)
    )
    with pytest.raises(CheckpointRefused, match=r"“m\.strange” do not fit"):
        dequantized(tensors, config)
    del tensors["m.strange"]
    assert dequantized(tensors, config) == tensors


def mxfp4_case(experts=2, rows=6, count=3):
    random = np.random.default_rng(0)
    codes = random.integers(0, 16, (experts, rows, count, 32))
    scales = random.integers(0, 251, (experts, rows, count)).astype(np.uint8)
    scales[0, 0] = [0, 1, 250]
    blocks = (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8)
    levels = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    values = np.ldexp(levels[codes], scales[..., None].astype(int) - 127).astype(np.float32)
    return held(x_blocks=blocks, x_scales=scales), values.reshape(experts, rows, -1)


@pytest.mark.parametrize("rows", [slice(None), slice(0, None, 2), slice(1, None, 2), slice(1, None, 4)])
def test_mxfp4_is_moved_without_rounding(rows):
    tensors, values = mxfp4_case()
    assert dequantized(tensors, {"quant_method": "mxfp4"}) == tensors
    tensor = repacked("e.weight", tensors["x_blocks"], tensors["x_scales"], rows)
    expected = values[:, rows]
    assert (tensor.name, tensor.dtype, tensor.shape) == ("e.weight", "MXFP4", expected.shape)
    for first, last in [(0, None), (1, 2)]:
        data = tensor.read(first, last)
        assert (data.dtype, data.shape) == (np.uint8, (*expected[first:last].shape[:2], 96 // 32 * 17))
        assert (dequantize(data, GGMLQuantizationType.MXFP4) == expected[first:last]).all()


@pytest.mark.parametrize(
    ("blocks", "scales"),
    [
        ((2, 6, 3, 16), (2, 6, 2)),
        ((2, 6, 3, 15), (2, 6, 3)),
        ((2, 6, 16), (2, 6)),
        ((2, 6, 3, 16), (2, 6, 3, 1)),
    ],
)
def test_mxfp4_of_other_shapes_is_refused(blocks, scales):
    tensors = held(x_blocks=np.zeros(blocks, np.uint8), x_scales=np.zeros(scales, np.uint8))
    with pytest.raises(CheckpointRefused, match="“x” do not fit"):
        repacked("e", tensors["x_blocks"], tensors["x_scales"])


@pytest.mark.parametrize("name", ["awq", "bnb-int8", "bnb-nf4"])
def test_checkpoints_that_the_reference_cannot_read_give_what_their_twins_do(name, tmp_path):
    """The others are compared with the reference's own files in test_architectures."""
    plan = make_plan(open_checkpoint(checkpoints.write(name, tmp_path / "packed")), "f16")
    twin = make_plan(open_checkpoint(checkpoints.write(f"{name}-twin", tmp_path / "plain")), "f16")
    places = {planned.place.name: planned for planned in twin.tensors}
    assert len(plan.tensors) == len(places)
    for planned in plan.tensors:
        expected = places[planned.place.name]
        assert planned.place == expected.place
        values = [one.tensor.read().astype(np.float16) for one in (planned, expected)]
        assert (values[0] == values[1]).all()


def test_reading_by_rows_takes_little_memory():
    tensors = held(
        m__qweight=np.zeros((128, 4096), np.int32),
        m__qzeros=np.zeros((8, 512), np.int32),
        m__scales=np.ones((8, 4096), np.float16),
    )
    weight = dequantized(tensors, {"quant_method": "gptq", "bits": 4})["m.weight"]
    tracemalloc.start()
    for first in range(0, 4096, 64):
        weight.read(first, first + 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < weight.shape[0] * weight.shape[1] * 4 // 2
