import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localllm.errors import CheckpointRefused
from tests.core.convert.architectures.planned import HIDDEN, keys, numbered, plan, tensors

AT = "model.layers.0"
NORM = {f"{AT}.input_layernorm.weight": numbered(HIDDEN)}
SEEN = {"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6}}
GEMMA4 = {
    "layer_types": ["full_attention"],
    "rope_parameters": SEEN,
    "head_dim": 4,
    "global_head_dim": 16,
    "num_key_value_heads": 2,
    "num_kv_shared_layers": 0,
}


def gemma2(folder, weights=NORM, **config):
    return plan(folder, "Gemma2ForCausalLM", "gemma2", weights, **config)


def gemma3(folder, weights=NORM, **config):
    return plan(folder, "Gemma3ForCausalLM", "gemma3_text", weights, **config)


def gemma4(folder, weights=NORM, **config):
    return plan(folder, "Gemma4ForCausalLM", "gemma4_text", weights, **GEMMA4 | config)


def test_norms_of_gemma_2_and_3_are_stored_around_zero_and_those_of_4_are_not(tmp_path):
    for make, added in ((gemma2, 1), (gemma3, 1), (gemma4, 0)):
        made = tensors(make(tmp_path))
        np.testing.assert_array_equal(made["blk.0.attn_norm.weight"], numbered(HIDDEN) + added)
        np.testing.assert_array_equal(made["output_norm.weight"], numbered(HIDDEN) + added)


def test_a_head_that_gemma_2_never_uses_is_left_out(tmp_path):
    assert "output.weight" not in tensors(gemma2(tmp_path, {**NORM, "lm_head.weight": numbered(4, HIDDEN)}))


@pytest.mark.parametrize(("vocabulary", "added", "rows"), [(2, 1, 3), (3, 1, 4), (9, 9, 4)])
def test_rows_without_a_token_are_cut_off(tmp_path, vocabulary, added, rows):
    tokens = {str(number): number for number in range(vocabulary)}
    tokenizer = {"model": {"vocab": tokens}, "added_tokens": [{}] * added}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    for make in (gemma3, gemma4):
        made = tensors(make(tmp_path))["token_embd.weight"]
        np.testing.assert_array_equal(made, numbered(4, HIDDEN)[:rows])


def test_gemma_3_says_what_it_has_and_nothing_else(tmp_path):
    said = keys(gemma3(tmp_path))
    assert (said["attention.key_length"], said["attention.sliding_window"]) == (256, 4096)
    assert (said["rope.freq_base"], said["rope.freq_base_swa"]) == (1e6, 1e4)
    assert "final_logit_softcapping" not in keys(gemma3(tmp_path, final_logit_softcapping=0.0))
    assert keys(gemma3(tmp_path, final_logit_softcapping=30.0))["final_logit_softcapping"] == 30
    assert "attention.sliding_window" not in keys(gemma3(tmp_path, sliding_window_pattern=1))


def test_gemma_3_with_a_cap_in_its_attention_is_refused(tmp_path):
    with pytest.raises(CheckpointRefused, match="soft cap"):
        gemma3(tmp_path, attn_logit_softcapping=50.0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.integers(1, 64).map(lambda half: 2 * half), st.floats(0, 1))
def test_only_the_first_pairs_of_each_head_turn(tmp_path, size, share):
    rope = {"full_attention": SEEN["full_attention"] | {"partial_rotary_factor": share}}
    made = tensors(gemma4(tmp_path, global_head_dim=size, rope_parameters=rope))["rope_freqs.weight"]
    turning = int(size * share / 2)
    expected = [1.0] * turning + [1e30] * (size // 2 - turning)
    np.testing.assert_array_equal(made, np.array(expected, dtype=np.float32))


LAYERS = {
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_global_key_value_heads": 1,
    "num_kv_shared_layers": 1,
    "use_double_wide_mlp": True,
}
FOUR = {f"model.layers.{layer}.input_layernorm.weight": numbered(HIDDEN) for layer in range(4)}


def test_layers_with_a_window_and_without_have_their_own_sizes(tmp_path):
    said = keys(gemma4(tmp_path, FOUR, **LAYERS))
    assert said["attention.sliding_window_pattern"] == [True, False, True, False]
    assert said["attention.head_count_kv"] == [2, 1, 2, 1]
    assert said["feed_forward_length"] == [16, 16, 16, 32]
    assert (said["attention.key_length"], said["attention.value_length_swa"]) == (16, 4)
    assert (said["rope.dimension_count"], said["rope.dimension_count_swa"]) == (16, 4)
    assert (said["attention.shared_kv_layers"], said["embedding_length_per_layer_input"]) == (1, 0)


def test_what_full_layers_have_may_be_said_for_one_of_them(tmp_path):
    of_one = {"head_dim": 16, "num_key_value_heads": 1}
    single = {"0": {"head_dim": 99, "num_key_value_heads": 99}, "9": of_one, "x": of_one, "1": of_one}
    apart = LAYERS | {"global_head_dim": None, "num_global_key_value_heads": None, "per_layer_config": single}
    one, other = (gemma4(tmp_path, FOUR, **config) for config in (LAYERS, apart))
    assert keys(one) == keys(other)
    assert tensors(one)["rope_freqs.weight"].shape == tensors(other)["rope_freqs.weight"].shape == (8,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layer_types": None},
        {"layer_types": ["full_attention"] * 2},
        {"global_head_dim": None},
        {"global_head_dim": -16},
        {"rope_parameters": {"full_attention": {"rope_type": "default"}}},
        {"rope_parameters": {"full_attention": {"rope_type": "proportional"}}},
        {"rope_parameters": {"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 2}}},
        {"num_kv_shared_layers": None},
    ],
)
def test_gemma_4_that_does_not_say_how_its_layers_are_is_refused(tmp_path, wrong):
    with pytest.raises(CheckpointRefused):
        keys(gemma4(tmp_path, **wrong))


def test_experts_of_gemma_4_stay_together_and_their_router_has_scales(tmp_path):
    gate_up, down = numbered(3, 10, HIDDEN), numbered(3, HIDDEN, 5)
    weights = {
        f"{AT}.experts.gate_up_proj": gate_up,
        f"{AT}.experts.down_proj": down,
        f"{AT}.router.proj.weight": numbered(3, HIDDEN),
        f"{AT}.router.scale": numbered(HIDDEN),
        f"{AT}.router.per_expert_scale": numbered(3),
        f"{AT}.layer_scalar": numbered(1),
    }
    made = tensors(gemma4(tmp_path, weights))
    for name, expected in {
        "ffn_gate_up_exps.weight": gate_up,
        "ffn_down_exps.weight": down,
        "ffn_gate_inp.weight": numbered(3, HIDDEN),
        "ffn_gate_inp.scale": numbered(HIDDEN),
        "ffn_down_exps.scale": numbered(3),
        "layer_output_scale.weight": numbered(1),
    }.items():
        np.testing.assert_array_equal(made[f"blk.0.{name}"], expected)
