import json

import numpy as np
import pytest

from localllm.errors import CheckpointRefused
from tests.core.convert.architectures.planned import keys, numbered, plan, tensors

LAYER = {"model.layers.0.input_layernorm.weight": numbered(8)}
EXPERTS, INNER, HIDDEN = 3, 5, 8
MOE = {"num_experts": EXPERTS, "num_experts_per_tok": 2, "moe_intermediate_size": INNER}


def dense(folder, **config):
    return plan(folder, "Qwen3ForCausalLM", "qwen3", LAYER, **config)


def test_stacked_and_separate_experts_give_the_same_file(tmp_path):
    at = "model.layers.0.mlp.experts"
    gate_up, down = numbered(EXPERTS, 2 * INNER, HIDDEN), numbered(EXPERTS, HIDDEN, INNER, start=1000)
    stacked = {f"{at}.gate_up_proj": gate_up, f"{at}.down_proj": down}
    separate = {}
    for expert in range(EXPERTS):
        separate |= {
            f"{at}.{expert}.gate_proj.weight": gate_up[expert, :INNER],
            f"{at}.{expert}.up_proj.weight": gate_up[expert, INNER:],
            f"{at}.{expert}.down_proj.weight": down[expert],
        }
    for architecture, kind in (("Qwen3MoeForCausalLM", "qwen3_moe"), ("Qwen2MoeForCausalLM", "qwen2_moe")):
        one, other = (tensors(plan(tmp_path, architecture, kind, w, **MOE)) for w in (stacked, separate))
        assert set(one) == set(other) > {"blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight"}
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])


@pytest.mark.parametrize("shape", [(EXPERTS, 3, HIDDEN), (0, 4, HIDDEN), (4, HIDDEN)])
def test_experts_of_another_shape_are_refused(tmp_path, shape):
    weights = {"model.layers.0.mlp.experts.gate_up_proj": numbered(*shape)}
    with pytest.raises(CheckpointRefused, match="shapes"):
        plan(tmp_path, "Qwen3MoeForCausalLM", "qwen3_moe", weights, **MOE)


def test_what_config_json_leaves_out_is_filled_in_as_its_class_does(tmp_path):
    silent = keys(dense(tmp_path))
    assert silent["attention.head_count_kv"] == 32
    assert silent["attention.key_length"] == silent["attention.value_length"] == 128
    assert (silent["context_length"], silent["rope.freq_base"]) == (32768, 1e4)
    null = keys(dense(tmp_path, num_key_value_heads=None, head_dim=None))
    assert null["attention.head_count_kv"] == 2
    assert "attention.key_length" not in null


def test_layers_without_experts_are_refused(tmp_path):
    with pytest.raises(CheckpointRefused, match="mlp_only_layers"):
        plan(tmp_path, "Qwen3MoeForCausalLM", "qwen3_moe", LAYER, mlp_only_layers=[0], **MOE)


@pytest.mark.parametrize("card", ["# Qwen3-Reranker-0.6B\n", None])
def test_rerankers_are_refused(tmp_path, card):
    folder = tmp_path / ("any" if card else "Qwen3-Reranker-0.6B")
    folder.mkdir()
    if card:
        (folder / "README.md").write_text(card)
    with pytest.raises(CheckpointRefused, match="Rerankers"):
        dense(folder)


def pooled(folder, said, path="1_Pooling"):
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": path, "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    return keys(dense(folder)).get("pooling_type")


def test_an_embedding_model_says_how_it_pools(tmp_path):
    assert "pooling_type" not in keys(dense(tmp_path))
    assert pooled(tmp_path, {"pooling_mode_mean_tokens": True}) == 1
    assert pooled(tmp_path, {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}) == 2
    assert pooled(tmp_path, {"pooling_mode_lasttoken": True}) == 3
    assert pooled(tmp_path, {"pooling_mode": "lasttoken"}) == 3


def test_pooling_that_llama_cpp_does_not_have_and_files_elsewhere_are_refused(tmp_path):
    with pytest.raises(CheckpointRefused, match="pools"):
        pooled(tmp_path, {"pooling_mode_weightedmean_tokens": True})
    with pytest.raises(CheckpointRefused, match=r"modules\.json"):
        pooled(tmp_path, {"pooling_mode": "mean"}, "../1_Pooling")
    (tmp_path / "modules.json").write_text("{")
    with pytest.raises(CheckpointRefused, match=r"modules\.json"):
        keys(dense(tmp_path))
