import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localllm.errors import CheckpointRefused
from tests.core.convert.architectures.planned import HIDDEN, keys, numbered, plan, tensors

AT = "model.layers.0.linear_attn"
sizes = st.integers(1, 3)
several = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)


def heads(keys_, per_key, key_dim, value_dim):
    return {
        "linear_num_key_heads": keys_,
        "linear_num_value_heads": keys_ * per_key,
        "linear_key_head_dim": key_dim,
        "linear_value_head_dim": value_dim,
        "linear_conv_kernel_dim": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "rope_theta": 1e4,
        "rms_norm_eps": 1e-6,
    }


def next_(folder, weights, **config):
    return plan(folder, "Qwen3NextForCausalLM", "qwen3_next", weights, **config)


def qwen35(folder, weights, **config):
    return plan(folder, "Qwen3_5ForCausalLM", "qwen3_5_text", weights, **config)


@several
@given(sizes, sizes, sizes, sizes)
def test_one_matrix_held_by_groups_becomes_queries_keys_and_values_and_gates(
    tmp_path, keys_, per_key, key_dim, value_dim
):
    queries = numbered(keys_, key_dim, HIDDEN)
    keys_of = numbered(keys_, key_dim, HIDDEN, start=1000)
    values = numbered(keys_, per_key * value_dim, HIDDEN, start=2000)
    gates = numbered(keys_, per_key * value_dim, HIDDEN, start=3000)
    grouped = np.concatenate([queries, keys_of, values, gates], axis=1).reshape(-1, HIDDEN)
    made = tensors(
        next_(tmp_path, {f"{AT}.in_proj_qkvz.weight": grouped}, **heads(keys_, per_key, key_dim, value_dim))
    )
    flat = [part.reshape(-1, HIDDEN) for part in (queries, keys_of, values)]
    np.testing.assert_array_equal(made["blk.0.attn_qkv.weight"], np.concatenate(flat))
    np.testing.assert_array_equal(made["blk.0.attn_gate.weight"], gates.reshape(-1, HIDDEN))


@several
@given(sizes, sizes, sizes, sizes)
def test_heads_of_values_are_spread_over_those_of_keys(tmp_path, keys_, per_key, key_dim, value_dim):
    """Value head j of group g is repeated with key head g: it must come to place j · groups + g."""
    order = [group * per_key + member for member in range(per_key) for group in range(keys_)]
    count, channels = keys_ * per_key, 2 * keys_ * key_dim
    qkv = numbered(channels + count * value_dim, HIDDEN)
    conv = numbered(channels + count * value_dim, 1, 4)
    gates, out = numbered(count * value_dim, HIDDEN), numbered(HIDDEN, count * value_dim)
    alpha, beta, decay, bias = (
        numbered(count, HIDDEN),
        -numbered(count, HIDDEN),
        numbered(count) / 8,
        numbered(count),
    )
    weights = {
        "in_proj_qkv.weight": qkv, "in_proj_z.weight": gates, "in_proj_a.weight": alpha, "in_proj_b.weight": beta,
        "conv1d.weight": conv, "A_log": decay, "dt_bias": bias, "out_proj.weight": out,
    }  # fmt: skip
    named = {f"{AT}.{name}": values for name, values in weights.items()}
    made = tensors(qwen35(tmp_path, named, **heads(keys_, per_key, key_dim, value_dim)))

    def spread(rows):
        return rows.reshape(count, -1, *rows.shape[1:])[order].reshape(rows.shape)

    for name, expected in {
        "attn_qkv.weight": np.concatenate([qkv[:channels], spread(qkv[channels:])]),
        "ssm_conv1d.weight": np.concatenate([conv[:channels], spread(conv[channels:])])[:, 0],
        "attn_gate.weight": spread(gates),
        "ssm_alpha.weight": alpha[order],
        "ssm_beta.weight": beta[order],
        "ssm_a": -np.exp(decay[order].astype(np.float64)).astype(np.float32),
        "ssm_dt.bias": bias[order],
        "ssm_out.weight": spread(out.T).T,
    }.items():
        np.testing.assert_array_equal(made[f"blk.0.{name}"], expected)


def test_norms_are_stored_around_zero_but_for_one(tmp_path):
    weights = {f"{AT}.norm.weight": numbered(8), "model.layers.0.input_layernorm.weight": numbered(8)}
    for make in (next_, qwen35):
        made = tensors(make(tmp_path, weights, **heads(1, 2, 2, 2)))
        np.testing.assert_array_equal(made["blk.0.ssm_norm.weight"], numbered(8))
        np.testing.assert_array_equal(made["blk.0.attn_norm.weight"], numbered(8) + 1)
        np.testing.assert_array_equal(made["output_norm.weight"], numbered(8) + 1)


LAYER = {"model.layers.0.input_layernorm.weight": numbered(8)}
AHEAD = {
    "mtp.fc.weight": numbered(8, 16),
    "mtp.norm.weight": numbered(8),
    "mtp.pre_fc_norm_embedding.weight": numbered(8),
    "mtp.pre_fc_norm_hidden.weight": numbered(8),
    "mtp.layers.0.input_layernorm.weight": numbered(8),
}


def test_what_predicts_further_tokens_is_one_more_layer(tmp_path):
    for prefix in ("", "model."):
        weights = LAYER | {prefix + name: values for name, values in AHEAD.items()}
        for make, more in ((next_, {}), (qwen35, {"mtp_num_hidden_layers": 1})):
            planned = make(tmp_path, weights, **heads(1, 1, 2, 2), **more)
            names = {name for name in tensors(planned) if name.startswith("blk.1.")}
            nextn = {
                f"blk.1.nextn.{name}.weight" for name in ("eh_proj", "enorm", "hnorm", "shared_head_norm")
            }
            assert names == nextn | {"blk.1.attn_norm.weight"}
            assert keys(planned)["block_count"] == 2
            assert keys(planned)["nextn_predict_layers"] == 1


def test_a_fine_tune_without_it_has_only_its_layers(tmp_path):
    planned = qwen35(
        tmp_path, LAYER, mtp_num_hidden_layers=1, layer_types=["linear_attention"], **heads(1, 1, 2, 2)
    )
    said = keys(planned)
    assert said["block_count"] == 1
    assert "nextn_predict_layers" not in said
    assert said["attention.recurrent_layers"] == [True]
    assert said["rope.dimension_sections"] == [11, 11, 10, 0]


def test_every_fourth_layer_of_qwen3_next_is_a_full_one_unless_it_says_otherwise(tmp_path):
    weights = {f"model.layers.{layer}.input_layernorm.weight": numbered(8) for layer in range(5)}
    said = {"num_hidden_layers": 5, **heads(1, 1, 2, 2)}
    assert keys(next_(tmp_path, weights, **said))["attention.recurrent_layers"] == [
        True,
        True,
        True,
        False,
        True,
    ]
    kinds = ["full_attention", *["linear_attention"] * 4]
    assert keys(next_(tmp_path, weights, layer_types=kinds, **said))["attention.recurrent_layers"] == [
        False,
        *[True] * 4,
    ]
    assert "attention.recurrent_layers" not in keys(qwen35(tmp_path, weights, **said))


@pytest.mark.parametrize(
    "said",
    [
        {"linear_num_key_heads": 0},
        {"linear_num_value_heads": 3},
        {"linear_num_value_heads": 2**31},
        {"linear_value_head_dim": None},
    ],
)
def test_heads_that_cannot_be_are_refused_before_anything_is_computed(tmp_path, said):
    weights = {f"{AT}.in_proj_z.weight": numbered(8, HIDDEN)}
    with pytest.raises(CheckpointRefused):
        qwen35(tmp_path, weights, **(heads(2, 2, 2, 2) | said))


@pytest.mark.parametrize(
    "said", [{"layer_types": []}, {"layer_types": "linear"}, {"partial_rotary_factor": float("inf")}]
)
def test_values_of_config_json_that_cannot_be_are_refused(tmp_path, said):
    planned = qwen35(tmp_path, LAYER, **heads(1, 1, 2, 2), **said)
    with pytest.raises(CheckpointRefused, match=next(iter(said))):
        keys(planned)
