"""PEFT adapters as GGUF: what llama.cpp's converter writes, what its formula says, and what is refused.

`golden.json` has the SHA-256 of what `convert_lora_to_gguf.py` of commit 0c1e570 writes for the adapters of
`made.py`, and under `merged-f16` of what `llama-export-lora` makes of the `f32` one and the model's F16 file.
The versions are those in `tests/core/convert/checkpoints`.
"""

import hashlib
import json
import math

import numpy as np
import pytest

from localllm.core.lora.folder import open_adapter
from localllm.core.lora.merge import Merge
from localllm.engine.protocol import Adapter
from localllm.errors import CheckpointRefused
from localllm.gguf import read_header
from localllm.gguf.adapters import check_adapter, pairs_of
from localllm.progress import Progress
from tests.core.convert import checkpoints
from tests.core.lora.made import (
    FOLDERS,
    convert,
    convert_adapter,
    golden,
    random_pairs,
    read_tensor,
    twin_with,
    usual_adapter,
    write_peft,
)

GOLDEN = golden()
QUERY = "model.layers.0.self_attn.q_proj"
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_hidden_layers": 2, "intermediate_size": 96, "vocab_size": 256,
}  # fmt: skip


@pytest.fixture
def base(tmp_path):
    """A folder with nothing but the model's config.json."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", FOLDERS)
def test_file_is_the_references(name, tmp_path):
    model, adapter = checkpoints.write(name, tmp_path / "model"), usual_adapter(name, tmp_path)
    for kind in ("f32", "f16", "bf16", "q8_0") if name == "qwen3" else ("f32", "q8_0"):
        made = convert_adapter(adapter, model, tmp_path / f"{kind}.gguf", kind)
        assert digest(made) == GOLDEN[name][kind], kind
        check_adapter(read_header(made))


def modules_of(name):
    """Return what is changed in a checkpoint: of every kind of weight that its rules treat in another way."""
    shapes = checkpoints.CHECKPOINTS[name].shapes
    wanted = ("_proj.weight", ".w1.weight", ".w2.weight", ".w3.weight")
    return {
        key.removesuffix(".weight"): shape
        for key, shape in shapes.items()
        if key.endswith(wanted) and len(shape) == 2 and not key.startswith("mtp.")
    }


@pytest.mark.parametrize("name", ["llama-spm", "phi3", "mixtral", "qwen35", "gemma3"])
def test_adding_the_product_before_or_after_the_conversion_is_the_same(name, tmp_path):
    """Rows of heads permuted, weights fused, experts stacked, columns reordered, vocabulary cut."""
    pairs = random_pairs(modules_of(name))
    model = checkpoints.write(name, tmp_path / "model")
    adapter = convert_adapter(write_peft(tmp_path / "peft", pairs), model, tmp_path / "a.gguf")
    merged = tmp_path / "merged.gguf"
    Merge([convert(model, tmp_path / "m.gguf")], [Adapter(str(adapter), 0.5)]).write(merged, Progress())
    deltas = {f"{module}.weight": 0.5 * 2 * (b @ a) for module, (a, b) in pairs.items()}
    twin = convert(twin_with(name, deltas, tmp_path / "twin"), tmp_path / "twin.gguf")
    changed = pairs_of(read_header(adapter))
    assert len(changed) >= 8
    for weight in changed:
        np.testing.assert_allclose(read_tensor(merged, weight), read_tensor(twin, weight), atol=2e-5)


def test_an_embedding_is_stored_the_other_way_round(base, tmp_path):
    a, b = random_pairs({"x": (64, 256)}, 4)["x"]  # PEFT: rank × tokens, width × rank
    folder = write_peft(
        tmp_path / "peft", {"model.embed_tokens": (a, b)}, ("lora_embedding_A", "lora_embedding_B")
    )
    made = convert_adapter(folder, base, tmp_path / "a.gguf")
    assert np.array_equal(read_tensor(made, "token_embd.weight.lora_a"), a.T)
    assert np.array_equal(read_tensor(made, "token_embd.weight.lora_b"), b)


def scale_of(path, weight):
    """Return what llama.cpp multiplies the product of a weight's factors with."""
    header = read_header(path)
    return header.metadata["adapter.lora.alpha"] / pairs_of(header)[weight].rank


@pytest.mark.parametrize("rooted", [False, True])
def test_a_weight_of_its_own_alpha_or_rank_is_scaled_as_peft_does(rooted, base, tmp_path):
    other = "model.layers.1.self_attn.v_proj"
    pairs = random_pairs({QUERY: (64, 64)}, 8) | random_pairs({other: (32, 64)}, 16, seed=1)
    folder = write_peft(
        tmp_path / "peft", pairs, lora_alpha=24, use_rslora=rooted,
        rank_pattern={"layers.1.self_attn.v_proj": 16}, alpha_pattern={"v_proj": 6},
    )  # fmt: skip
    made = convert_adapter(folder, base, tmp_path / "a.gguf")
    assert bool(open_adapter(folder).notes) == rooted
    wanted = {QUERY: (24, 8), other: (6, 16)}
    for module, weight in ((QUERY, "blk.0.attn_q.weight"), (other, "blk.1.attn_v.weight")):
        alpha, rank = wanted[module]
        peft = alpha / (math.sqrt(rank) if rooted else rank)
        stored = np.abs(read_tensor(made, f"{weight}.lora_b")).sum() * scale_of(made, weight)
        assert math.isclose(stored, np.abs(pairs[module][1]).sum() * peft, rel_tol=1e-5)


def test_a_rank_of_its_own_leaves_the_bits_alone(base, tmp_path):
    pairs = random_pairs({QUERY: (64, 64)}, 8)
    folder = write_peft(tmp_path / "peft", pairs, r=4, lora_alpha=7, rank_pattern={QUERY: 8})
    made = convert_adapter(folder, base, tmp_path / "a.gguf")
    assert np.array_equal(
        np.sort(read_tensor(made, "blk.0.attn_q.weight.lora_b"), 0), np.sort(pairs[QUERY][1], 0)
    )


REFUSED = {
    "another method": ({"peft_type": "IA3"}, "of the kind IA3"),
    "DoRA": ({"use_dora": True}, "DoRA"),
    "whole layers": ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    "biases": ({"bias": "lora_only"}, "biases"),
    "bias of B": ({"lora_bias": True}, "lora_bias"),
    "transposed": ({"fan_in_fan_out": True}, "transposed"),
    "new tokens": ({"trainable_token_indices": [1]}, "tokens of its own"),
    "activated": ({"alora_invocation_tokens": [5, 6]}, "begins in the middle"),
    "layers repeated": ({"layer_replication": [[0, 2], [1, 2]]}, "repeats layers"),
    "stacked weights": ({"target_parameters": ["experts.gate_up_proj"]}, "stacked weights"),
    "changed base": ({"init_lora_weights": "pissa_niter_16"}, "changed before the training"),
    "no alpha": ({"lora_alpha": None}, "lora_alpha"),
    "alpha of nothing": ({"lora_alpha": float("inf")}, "lora_alpha"),
    "no rank": ({"r": 0}, "r is 0"),
    "pattern": ({"alpha_pattern": {"(a+)+$": 3}}, "by the pattern"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_gguf_adapter_cannot_hold_is_refused(case, tmp_path):
    settings, reason = REFUSED[case]
    folder = write_peft(tmp_path / "peft", random_pairs({QUERY: (64, 64)}), **settings)
    with pytest.raises(CheckpointRefused, match=reason):
        open_adapter(folder)


def with_tensor(name):
    return lambda folder: write_peft(folder, random_pairs({name: (64, 64)}), ("weight", "lora_A.weight"))


def only_half(folder):
    write_peft(folder, random_pairs({QUERY: (64, 64)}), ("lora_A.weight", "other.lora_A.weight"))


def of_two_ranks(folder):
    (a, _), (_, b) = random_pairs({"x": (64, 64)}, 4)["x"], random_pairs({"x": (64, 64)}, 8)["x"]
    write_peft(folder, {QUERY: (a, b)})


def only_pickled(folder):
    write_peft(folder, random_pairs({QUERY: (64, 64)}))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def led_elsewhere(folder):
    write_peft(folder, random_pairs({QUERY: (64, 64)}))
    (folder / "adapter_model.safetensors").rename(folder.parent / "elsewhere")
    (folder / "adapter_model.safetensors").symlink_to(folder.parent / "elsewhere")


def cut_off(folder):
    path = write_peft(folder, random_pairs({QUERY: (64, 64)})) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def empty(folder):
    folder.mkdir()


BROKEN = {
    "a whole embedding": (with_tensor("model.embed_tokens"), "tokens were added"),
    "something else": (with_tensor("model.layers.0.mlp.gate"), "no part of a LoRA"),
    "half": (only_half, "is missing"),
    "two ranks": (of_two_ranks, "does not fit together"),
    "pickles": (only_pickled, "runs a program"),
    "a link": (led_elsewhere, "There is no adapter_model.safetensors"),
    "cut off": (cut_off, "beyond its end"),
    "nothing": (empty, "no LoRA adapter"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_refused(case, tmp_path):
    make, reason = BROKEN[case]
    make(tmp_path / "peft")
    with pytest.raises(CheckpointRefused, match=reason):
        open_adapter(tmp_path / "peft")


def test_weights_that_the_model_does_not_have(base, tmp_path):
    folder = write_peft(tmp_path / "peft", random_pairs({"model.layers.9.self_attn.q_proj": (64, 64)}))
    with pytest.raises(CheckpointRefused, match="does not know"):
        convert_adapter(folder, base, tmp_path / "a.gguf")


def test_weights_of_another_shape(base, tmp_path):
    folder = write_peft(tmp_path / "peft", random_pairs({QUERY: (63, 64)}))
    with pytest.raises(CheckpointRefused, match="do not have the shapes"):
        convert_adapter(folder, base, tmp_path / "a.gguf")


def test_a_weight_that_a_gguf_stores_in_another_way(tmp_path):
    model = checkpoints.write("deepseek2", tmp_path)
    name, shape = next(
        item for item in checkpoints.CHECKPOINTS["deepseek2"].shapes.items() if "kv_b_proj" in item[0]
    )
    folder = write_peft(tmp_path / "peft", random_pairs({name.removesuffix(".weight"): shape}))
    with pytest.raises(CheckpointRefused, match="stores in another way"):
        convert_adapter(folder, model, tmp_path / "a.gguf")


def test_a_base_of_an_unknown_architecture(base, tmp_path):
    (base / "config.json").write_text(json.dumps(CONFIG | {"architectures": ["NoneForCausalLM"]}))
    folder = write_peft(tmp_path / "peft", random_pairs({QUERY: (64, 64)}))
    with pytest.raises(CheckpointRefused, match="NoneForCausalLM is not supported"):
        convert_adapter(folder, base, tmp_path / "a.gguf")
