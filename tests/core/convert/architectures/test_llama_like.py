"""Those that are Llama but for a few keys: SmolLM3, Granite, Ministral 3; and OLMo and GLM-4, which are not."""

import numpy as np
import pytest

from localllm.errors import CheckpointRefused
from tests.core.convert.architectures.planned import HIDDEN, keys, numbered, plan, tensors

QUERY = "model.layers.0.self_attn.q_proj.weight"
LAYER = {QUERY: numbered(HIDDEN, HIDDEN)}
YARN = {
    "rope_type": "yarn",
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
    "rope_theta": 1e6,
}


def layers(number):
    return {f"model.layers.{layer}.self_attn.q_proj.weight": LAYER[QUERY] for layer in range(number)}


def smollm3(folder, number=1, **config):
    return plan(folder, "SmolLM3ForCausalLM", "smollm3", layers(number), num_hidden_layers=number, **config)


def granite(folder, **config):
    return plan(folder, "GraniteForCausalLM", "granite", LAYER, **config)


def ministral3(folder, model_type="ministral3", **config):
    return plan(folder, "Ministral3ForCausalLM", model_type, LAYER, **config)


def olmo(folder, version, number=1, **config):
    return plan(
        folder,
        f"Olmo{version}ForCausalLM",
        f"olmo{version}",
        layers(number),
        num_hidden_layers=number,
        **config,
    )


def glm4(folder, **config):
    return plan(folder, "Glm4ForCausalLM", "glm4", LAYER, **config)


def test_queries_turn_in_pairs_where_llama_cpp_rotates_pairs(tmp_path):
    pairs = [0, 2, 1, 3, 4, 6, 5, 7]  # two heads of four rows
    for make in (smollm3, granite, lambda folder: ministral3(folder, rope_parameters=YARN)):
        made = tensors(make(tmp_path))["blk.0.attn_q.weight"]
        np.testing.assert_array_equal(made, numbered(HIDDEN, HIDDEN)[pairs])
    for make in (glm4, lambda folder: olmo(folder, 2), lambda folder: olmo(folder, 3)):
        made = tensors(make(tmp_path))["blk.0.attn_q.weight"]
        np.testing.assert_array_equal(made, numbered(HIDDEN, HIDDEN))


def test_smollm3_without_positions_in_other_layers_is_refused(tmp_path):
    assert keys(smollm3(tmp_path, 5, no_rope_layers=[1, 1, 1, 0, 1]))["rope.freq_base"] == 2e6
    for wrong in ({"no_rope_layers": [1, 1, 0, 1, 1]}, {"no_rope_layer_interval": 3}):
        with pytest.raises(CheckpointRefused, match="every fourth layer"):
            smollm3(tmp_path, 5, **wrong)


def test_granites_heads_share_the_width_and_a_factor_of_zero_is_none(tmp_path):
    said = keys(granite(tmp_path, head_dim=99, residual_multiplier=0.25, logits_scaling=0.0))
    assert not {"attention.key_length", "attention.value_length", "logit_scale"} & set(said)
    assert (said["rope.dimension_count"], said["residual_scale"], said["embedding_scale"]) == (4, 0.25, 1)
    with pytest.raises(CheckpointRefused):
        keys(granite(tmp_path, num_attention_heads=0, num_key_value_heads=1))


def test_ministral_3_says_how_its_attention_cools_down(tmp_path):
    said = keys(ministral3(tmp_path, rope_parameters=YARN))
    assert said["attention.temperature_scale"] == 0.1
    assert said["rope.scaling.yarn_log_multiplier"] == 1
    older = keys(ministral3(tmp_path, "mistral"))
    assert "attention.temperature_scale" not in older
    assert (older["attention.head_count_kv"], older["context_length"]) == (8, 131072)


@pytest.mark.parametrize(
    "change", [{"rope_type": "default"}, {"llama_4_scaling_beta": None}, {"mscale_all_dim": "1"}]
)
def test_ministral_3_with_positions_of_another_kind_is_refused(tmp_path, change):
    with pytest.raises(CheckpointRefused):
        keys(ministral3(tmp_path, rope_parameters=YARN | change))


def test_mistral_4_is_refused_by_its_name(tmp_path):
    with pytest.raises(CheckpointRefused, match="Mistral 4"):
        ministral3(tmp_path, "mistral4")


def test_every_fourth_layer_of_olmo_3_sees_everything_unless_it_says_otherwise(tmp_path):
    assert keys(olmo(tmp_path, 3, 5))["attention.sliding_window_pattern"] == [True, True, True, False, True]
    types = ["full_attention", "sliding_attention"]
    said = keys(olmo(tmp_path, 3, 2, layer_types=types, sliding_window=7))
    assert (said["attention.sliding_window_pattern"], said["attention.sliding_window"]) == ([False, True], 7)
    assert not {"attention.sliding_window_pattern", "attention.sliding_window"} & set(keys(olmo(tmp_path, 2)))


def test_a_part_of_each_head_of_glm_4_turns(tmp_path):
    assert keys(glm4(tmp_path))["rope.dimension_count"] == 64
    assert keys(glm4(tmp_path, head_dim=12, partial_rotary_factor=0.25))["rope.dimension_count"] == 3


def test_glm_4_for_pictures_is_refused(tmp_path):
    with pytest.raises(CheckpointRefused, match="pictures"):
        glm4(tmp_path, rope_scaling={"mrope_section": [1, 1]})
