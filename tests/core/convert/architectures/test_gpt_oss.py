import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

from localllm.errors import CheckpointRefused
from tests.core.convert.architectures.planned import keys, numbered, plan, tensors

AT = "model.layers.0.mlp.experts"
EXPERTS, INNER, HIDDEN = 2, 3, 32
MAGNITUDES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
VALUES = np.concatenate([MAGNITUDES, -MAGNITUDES])
MXFP4 = {"quantization_config": {"quant_method": "mxfp4"}}


def blocks(rows, columns, seed):
    random = np.random.default_rng(seed)
    shape = (EXPERTS, rows, columns // 32)
    return (
        random.integers(0, 256, (*shape, 16), dtype=np.uint8),
        random.integers(120, 130, shape, dtype=np.uint8),
    )


def numbers(packed, scales):
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*scales.shape, 32)
    values = np.ldexp(VALUES[codes], scales.astype(int)[..., None] - 127)
    return values.reshape(*scales.shape[:2], -1).astype(np.float32)


def oss(folder, weights, **config):
    return plan(folder, "GptOssForCausalLM", "gpt_oss", weights, hidden_size=HIDDEN, **config)


GATE_UP, DOWN = blocks(2 * INNER, HIDDEN, 1), blocks(HIDDEN, 32, 2)
PACKED = {
    f"{AT}.gate_up_proj_blocks": GATE_UP[0],
    f"{AT}.gate_up_proj_scales": GATE_UP[1],
    f"{AT}.down_proj_blocks": DOWN[0],
    f"{AT}.down_proj_scales": DOWN[1],
}


def test_packed_experts_keep_their_numbers_and_come_first(tmp_path):
    planned = oss(tmp_path, PACKED, **MXFP4)
    made = tensors(planned)
    names = [f"blk.0.ffn_{part}_exps.weight" for part in ("gate", "up", "down")]
    assert list(made)[:3] == names
    assert planned.file_type == 38
    whole = numbers(*GATE_UP)
    for name, expected in zip(names, (whole[:, ::2], whole[:, 1::2], numbers(*DOWN)), strict=True):
        place = next(each.place for each in planned.tensors if each.place.name == name)
        assert (place.type_name, place.shape) == ("MXFP4", expected.shape)
        np.testing.assert_array_equal(dequantize(made[name], GGMLQuantizationType.MXFP4), expected)


def test_plain_experts_are_turned_and_taken_apart(tmp_path):
    gate_up, down = numbered(EXPERTS, HIDDEN, 2 * INNER), numbered(EXPERTS, INNER, HIDDEN)
    bias, biases_down = numbered(EXPERTS, 2 * INNER), numbered(EXPERTS, HIDDEN)
    weights = {
        f"{AT}.gate_up_proj": gate_up,
        f"{AT}.down_proj": down,
        f"{AT}.gate_up_proj_bias": bias,
        f"{AT}.down_proj_bias": biases_down,
        "model.layers.0.self_attn.sinks": numbered(2),
    }
    planned = oss(tmp_path, weights)
    made = tensors(planned)
    assert planned.file_type == 0
    for name, expected in {
        "ffn_gate_exps.weight": gate_up[:, :, ::2].swapaxes(1, 2),
        "ffn_up_exps.weight": gate_up[:, :, 1::2].swapaxes(1, 2),
        "ffn_down_exps.weight": down.swapaxes(1, 2),
        "ffn_gate_exps.bias": bias[:, ::2],
        "ffn_up_exps.bias": bias[:, 1::2],
        "ffn_down_exps.bias": biases_down,
        "attn_sinks.weight": numbered(2),
    }.items():
        np.testing.assert_array_equal(made[f"blk.0.{name}"], expected)


@pytest.mark.parametrize("missing", sorted(PACKED))
def test_blocks_without_scales_or_the_reverse_are_refused(tmp_path, missing):
    with pytest.raises(CheckpointRefused, match="do not fit together"):
        oss(tmp_path, {name: values for name, values in PACKED.items() if name != missing}, **MXFP4)


def test_scales_of_another_shape_are_refused(tmp_path):
    with pytest.raises(CheckpointRefused, match="do not fit together"):
        oss(tmp_path, PACKED | {f"{AT}.down_proj_scales": DOWN[1][:, 1:]}, **MXFP4)


def test_windows_and_long_contexts_are_said(tmp_path):
    planned = oss(tmp_path, {"model.layers.0.self_attn.sinks": numbered(2)})
    said = keys(planned)
    assert (said["attention.sliding_window"], said["expert_feed_forward_length"]) == (128, 16)
    assert planned.origin.config.global_rope["factor"] == 32
