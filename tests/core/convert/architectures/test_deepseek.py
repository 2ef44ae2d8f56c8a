import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localllm.errors import CheckpointRefused
from tests.core.convert.architectures.planned import keys, numbered, plan, tensors

SAID = {
    "num_key_value_heads": 2,
    "kv_lora_rank": 4,
    "qk_nope_head_dim": 3,
    "qk_rope_head_dim": 2,
    "v_head_dim": 5,
    "q_lora_rank": 6,
}
LAYER = {"model.layers.0.self_attn.kv_b_proj.weight": numbered(16, 4)}


def deepseek(folder, weights=LAYER, kind="V3", **config):
    return plan(folder, f"Deepseek{kind}ForCausalLM", f"deepseek_{kind.lower()}", weights, **(SAID | config))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(*[st.integers(1, 4)] * 4)
def test_keys_and_values_unfold_from_two_matrices_as_from_one(tmp_path, heads, nope, value, rank):
    whole = numbered(heads * (nope + value), rank)
    made = tensors(
        deepseek(
            tmp_path,
            {"model.layers.0.self_attn.kv_b_proj.weight": whole},
            num_key_value_heads=heads,
            qk_nope_head_dim=nope,
            v_head_dim=value,
            kv_lora_rank=rank,
        )
    )
    of_keys, of_values = made["blk.0.attn_k_b.weight"], made["blk.0.attn_v_b.weight"]
    small = numbered(rank)
    unfolded = (whole @ small).reshape(heads, nope + value)
    np.testing.assert_array_equal(small @ of_keys, unfolded[:, :nope])
    np.testing.assert_array_equal(of_values @ small, unfolded[:, nope:])


def test_attention_is_described_as_it_is_calculated(tmp_path):
    said = keys(
        deepseek(tmp_path, routed_scaling_factor=2.5, rope_scaling={"type": "yarn", "mscale_all_dim": 0.707})
    )
    expected = {
        "attention.head_count_kv": 1,
        "attention.key_length": 6,
        "attention.value_length": 4,
        "attention.key_length_mla": 5,
        "attention.value_length_mla": 5,
        "attention.kv_lora_rank": 4,
        "attention.q_lora_rank": 6,
        "rope.dimension_count": 2,
        "leading_dense_block_count": 3,
        "expert_weights_norm": True,
        "rope.scaling.yarn_log_multiplier": pytest.approx(0.0707),
    }
    assert {name: said[name] for name in expected} == expected
    assert "expert_weights_norm" not in keys(deepseek(tmp_path, kind="V2"))


def test_layers_that_predict_on_and_a_tied_head_are_left_out(tmp_path):
    more = {"model.layers.1.eh_proj.weight": numbered(8, 16), "lm_head.weight": numbered(4, 8)}
    assert set(tensors(deepseek(tmp_path, LAYER | more))) == {
        *("token_embd.weight", "output_norm.weight", "output.weight"),
        *("blk.0.attn_k_b.weight", "blk.0.attn_v_b.weight"),
    }
    assert "output.weight" not in tensors(deepseek(tmp_path, LAYER | more, tie_word_embeddings=True))


def test_without_q_lora_rank_llama_cpp_must_know_it_as_v2_lite(tmp_path):
    with pytest.raises(CheckpointRefused, match="26 or 27 layers"):
        deepseek(tmp_path, kind="V2", q_lora_rank=None)
    weights = {f"model.layers.{n}.self_attn.kv_b_proj.weight": numbered(16, 4) for n in range(27)}
    said = keys(deepseek(tmp_path, weights, kind="V2", q_lora_rank=None, num_hidden_layers=27))
    assert "attention.q_lora_rank" not in said


@pytest.mark.parametrize("said", [{"v_head_dim": 4}, {"num_key_value_heads": 2**31}, {"qk_nope_head_dim": 0}])
def test_other_shapes_than_config_json_says_are_refused(tmp_path, said):
    with pytest.raises(CheckpointRefused, match="shapes"):
        deepseek(tmp_path, **said)
