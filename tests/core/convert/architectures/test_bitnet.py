import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from localllm.core.convert.architectures.bitnet import ternary
from localllm.errors import CheckpointRefused
from tests.core.convert.architectures.planned import keys, numbered, plan, tensors

AT = "model.layers.0"
HALVES = st.floats(-8, 8, width=16)


@given(arrays(np.float16, (3, 4), elements=HALVES))
def test_weights_become_three_values_nearest_to_them(weights):
    scale = max(np.abs(weights.astype(np.float64)).mean(), 1e-5)
    made = ternary(weights.astype(np.float32)).astype(np.float64)
    assert set(np.round(np.unique(made) / scale, 5)) <= {-1, 0, 1}
    assert np.all(np.abs(weights - made) <= np.maximum(scale / 2, np.abs(weights) - scale) + 1e-5)
    assert ternary(weights).dtype == np.float16


@pytest.mark.parametrize("kind", [GGMLQuantizationType.TQ1_0, GGMLQuantizationType.TQ2_0])
def test_ternary_types_hold_them_exactly(kind):
    made = ternary(np.random.default_rng(1).normal(size=(4, 256)).astype(np.float16))
    floats = made.astype(np.float32)
    np.testing.assert_array_equal(dequantize(quantize(floats, kind), kind), floats)


def test_projections_and_nothing_else_become_ternary(tmp_path):
    values = numbered(8, 8) / 64
    names = ["self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj", "mlp.gate_proj"]
    weights = {f"{AT}.{name}.weight": values for name in names}
    weights |= {
        f"{AT}.self_attn.inner_attn_ln.weight": numbered(8),
        f"{AT}.mlp.ffn_layernorm.weight": numbered(16),
    }
    planned = plan(tmp_path, "BitnetForCausalLM", "llama", weights)
    made = tensors(planned)
    for name in ("attn_q", "attn_output", "ffn_down", "ffn_gate"):
        np.testing.assert_array_equal(made[f"blk.0.{name}.weight"], ternary(values))
    np.testing.assert_array_equal(made["blk.0.attn_sub_norm.weight"], numbered(8))
    assert (keys(planned)["rope.scaling.type"], keys(planned)["rope.scaling.factor"]) == ("linear", 1.0)
    assert keys(planned)["attention.key_length"] == 4


def test_microsofts_layout_is_refused_with_the_reason(tmp_path):
    weights = {f"{AT}.self_attn.attn_sub_norm.weight": numbered(8)}
    with pytest.raises(CheckpointRefused, match="Microsoft"):
        plan(tmp_path, "BitNetForCausalLM", "bitnet", weights)
