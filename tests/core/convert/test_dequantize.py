"""Which method reads which tensors, in which order; MXFP4; and a whole checkpoint packed and not."""

import json
import tracemalloc

import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize
from safetensors.numpy import save_file

from localllm.core.convert.checkpoint import open_checkpoint
from localllm.core.convert.dequantize import dequantized
from localllm.core.convert.dequantize.mxfp4 import repacked
from localllm.core.convert.plan import make_plan
from localllm.errors import CheckpointRefused
from tests.core.convert.quantized import held, packed


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


CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 50,
}  # fmt: skip
LINEAR = {
    "self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64), "self_attn.o_proj": (64, 64),
    "mlp.gate_proj": (96, 64), "mlp.up_proj": (96, 64), "mlp.down_proj": (64, 96),
}  # fmt: skip


def write_checkpoint(folder, tensors, config):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "model.safetensors"
    )
    return make_plan(open_checkpoint(folder), "f16")


def test_a_packed_checkpoint_gives_the_tensors_of_the_same_one_in_float32(tmp_path):
    random = np.random.default_rng(0)
    plain = {
        "model.embed_tokens.weight": random.standard_normal((50, 64)).astype(np.float16),
        "model.norm.weight": np.ones(64, np.float16),
    }
    for layer in range(2):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            plain[f"model.layers.{layer}.{norm}.weight"] = np.ones(64, np.float16)
    gptq, floats = dict(plain), dict(plain)
    for layer in range(2):
        for name, (rows, columns) in LINEAR.items():
            stem = f"model.layers.{layer}.{name}"
            groups = random.permutation(np.arange(columns) // 32)
            weights, zeros = (
                random.integers(0, 16, (rows, columns)),
                random.integers(0, 16, (rows, columns // 32)),
            )
            scales = random.random((rows, columns // 32)).astype(np.float16)
            floats[f"{stem}.weight"] = (weights - zeros[:, groups] - 1).astype(np.float32) * scales[
                :, groups
            ].astype(np.float32)
            gptq[f"{stem}.qweight"] = packed(weights.T, 4, axis=0)
            gptq[f"{stem}.qzeros"] = packed(zeros.T, 4)
            gptq[f"{stem}.scales"], gptq[f"{stem}.g_idx"] = scales.T, groups.astype(np.int32)
    quantization = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True}
    one = write_checkpoint(tmp_path / "gptq", gptq, CONFIG | {"quantization_config": quantization})
    other = write_checkpoint(tmp_path / "floats", floats, CONFIG)
    places = {planned.place.name: planned for planned in other.tensors}
    assert len(one.tensors) == len(places) == 20
    assert one.tensors[-1].place.name == "blk.1.attn_v.weight"
    for planned in one.tensors:
        expected = places[planned.place.name]
        assert planned.place.type_name == expected.place.type_name
        assert (planned.tensor.read() == expected.tensor.read()).all()


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
