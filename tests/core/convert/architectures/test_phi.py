import math

import numpy as np
import pytest

from localllm.errors import CheckpointRefused
from tests.core.convert.architectures.planned import keys, numbered, plan, tensors

LAYER = {"model.layers.0.self_attn.qkv_proj.weight": numbered(24, 8)}
FACTORS = {
    "type": "longrope",
    "long_factor": [1.5, 8.25],
    "short_factor": [1.0, 1.125],
}  # heads of 4: 2 pairs


def phi3(folder, **config):
    return plan(folder, "Phi3ForCausalLM", "phi3", LAYER, **config)


@pytest.mark.parametrize(
    ("trained", "longer", "factor"),
    [
        (4096, 131072, math.sqrt(1 + 5 / 12)),  # Phi-3-mini-128k: 2¹² becomes 2¹⁷
        (4096, 4096, 1.0),
        (4096, 2048, 1.0),
        (100, 10_000, math.sqrt(2)),
    ],
)
def test_attention_is_sharpened_for_a_longer_context(tmp_path, trained, longer, factor):
    for kind in ("su", "longrope"):
        said = {"rope_scaling": FACTORS | {"type": kind}, "original_max_position_embeddings": trained}
        made = phi3(tmp_path, max_position_embeddings=longer, **said)
        assert keys(made)["rope.scaling.attn_factor"] == pytest.approx(factor, rel=1e-12)
        assert keys(made)["rope.scaling.original_context_length"] == trained
        for name in ("long", "short"):
            expected = np.array(FACTORS[f"{name}_factor"], dtype=np.float32)
            np.testing.assert_array_equal(tensors(made)[f"rope_factors_{name}.weight"], expected)


def test_phi_4_has_no_factors_and_no_window(tmp_path):
    made = phi3(tmp_path, rope_scaling=None, sliding_window=None)
    assert "rope.scaling.attn_factor" not in keys(made)
    assert not any(name.startswith("rope_factors") for name in tensors(made))
    assert keys(made)["attention.sliding_window"] == 0
    assert keys(phi3(tmp_path, sliding_window=2047))["attention.sliding_window"] == 2047


def test_a_part_of_each_head_turns(tmp_path):
    said = keys(phi3(tmp_path, hidden_size=3072, num_attention_heads=24, partial_rotary_factor=0.75))
    assert said["rope.dimension_count"] == 96


def test_queries_keys_and_values_stay_together(tmp_path):
    np.testing.assert_array_equal(tensors(phi3(tmp_path))["blk.0.attn_qkv.weight"], numbered(24, 8))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rope_scaling": FACTORS | {"type": "yarn"}},
        {"rope_scaling": {"long_factor": [1.0, 1.0], "short_factor": [1.0, 1.0]}},
        {"rope_scaling": FACTORS | {"short_factor": [1.0]}},
        {"rope_scaling": FACTORS | {"short_factor": None}},
        {"rope_scaling": FACTORS | {"long_factor": ["a", "b"]}},
        {"rope_scaling": FACTORS, "original_max_position_embeddings": 0},
        {"rope_scaling": FACTORS, "original_max_position_embeddings": 1},
        {"num_attention_heads": 0, "num_key_value_heads": 1},
    ],
)
def test_factors_that_do_not_fit_are_refused(tmp_path, wrong):
    with pytest.raises(CheckpointRefused):
        keys(phi3(tmp_path, **wrong))
