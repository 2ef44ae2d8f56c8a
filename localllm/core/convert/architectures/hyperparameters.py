"""The hyperparameters that every text model gets, in the reference's order, and Llama 3's rope factors.

Sources: the converter of llama.cpp, commit 0c1e570; for the factors Llama 3.1's reference code.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from localllm.core.convert.architectures.entry import FileType, Setting, count, made, real
from localllm.core.convert.changes import constant
from localllm.core.convert.config import unusable
from localllm.gguf.keys import Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from localllm.core.convert.architectures.entry import KeySource, Origin
    from localllm.core.convert.tensors import Tensor

_GATING = {"softmax": 1, "sigmoid": 2, "sqrtsoftplus": 4}
_YARN = (
    ("rope.scaling.yarn_ext_factor", ("extrapolation_factor",)),
    ("rope.scaling.yarn_attn_factor", ("attention_factor", "attn_factor")),
    ("rope.scaling.yarn_beta_fast", ("beta_fast",)),
    ("rope.scaling.yarn_beta_slow", ("beta_slow",)),
)


def rope_scaling(origin: Origin) -> Iterable[Key]:
    """Give the keys of a longer context than the model was first trained for.

    Raises:
        CheckpointRefused: config.json contradicts itself.
    """
    rope = origin.config.global_rope
    kind, factor = rope.get("rope_type"), rope.get("factor")
    if kind in ("linear", "yarn") and factor is not None:
        yield Key("rope.scaling.type", "string", kind)
        yield Key("rope.scaling.factor", "f32", _number("factor", factor))
    if kind == "yarn" and factor is not None:
        original = rope.get("original_max_position_embeddings")
        if type(original) is not int or original < 0:
            raise unusable("original_max_position_embeddings", original)
        yield Key("rope.scaling.original_context_length", "u32", original)
        for name, names in _YARN:
            value = next((rope[key] for key in names if key in rope), None)
            if value is not None:
                yield Key(name, "f32", _number(names[0], value))
    if kind in ("su", "longrope"):
        yield Key("rope.scaling.type", "string", "longrope")


def _number(name: str, value: object) -> float:
    if type(value) not in (int, float):
        raise unusable(name, value)
    return float(cast("float", value))


def _sections(origin: Origin) -> list[int] | None:
    sections = origin.config.rope.get("mrope_section")
    if sections is None:
        return None
    if not isinstance(sections, list):
        raise unusable("mrope_section", sections)
    return [*cast("list[int]", sections), 0, 0, 0, 0][:4]


def _base_of_windows(origin: Origin) -> float | None:
    part = origin.config.rope.get("sliding_attention")
    return cast("dict[str, Any]", part).get("rope_theta") if isinstance(part, dict) else None


def _gating(origin: Origin) -> int | None:
    name = origin.config.get(
        *("score_function", "scoring_func", "score_func", "moe_router_activation"),
        *("moe_router_activation_func", "expert_selection_fn"),
    )
    if name is None:
        return None
    if name not in _GATING:
        raise unusable("scoring_func", name)
    return _GATING[name]


def _not_causal(origin: Origin) -> bool | None:
    return False if origin.config.get("is_causal") is False else None


COMMON: tuple[KeySource, ...] = (
    made("block_count", "u32", lambda origin: origin.layers),
    count(
        *("context_length", "max_position_embeddings", "n_ctx", "n_positions", "max_length"),
        *("max_sequence_length", "model_max_length"),
    ),
    count("embedding_length", "hidden_size", "n_embd", "dim"),
    count(
        *("feed_forward_length", "prefix_dense_intermediate_size", "dense_intermediate_size"),
        *("intermediate_size", "n_inner", "hidden_dim"),
    ),
    count("attention.head_count", "num_attention_heads", "n_head", "n_heads"),
    count("attention.head_count_kv", "num_key_value_heads", "n_kv_heads"),
    made("attention.causal", "bool", _not_causal),
    rope_scaling,
    made("rope.dimension_sections", "i32", _sections),
    made("rope.freq_base", "f32", lambda origin: origin.config.global_rope.get("rope_theta")),
    made("rope.freq_base_swa", "f32", _base_of_windows),
    real("attention.layer_norm_rms_epsilon", "rms_norm_eps", "norm_eps"),
    real("attention.layer_norm_epsilon", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"),
    count("expert_count", "num_local_experts", "num_experts", "n_routed_experts"),
    count("expert_used_count", "num_experts_per_tok", "num_experts_per_token", "top_k_experts"),
    count("expert_group_count", "n_group"),
    count("expert_group_used_count", "topk_group"),
    made("expert_gating_func", "u32", _gating),
    count("attention.key_length", "head_dim"),
    count("attention.value_length", "head_dim"),
    FileType(),
)


def common_without(*names: str) -> tuple[KeySource, ...]:
    """Return `COMMON` without some keys."""
    return tuple(key for key in COMMON if not (isinstance(key, Setting) and key.name in names))


def windows(origin: Origin) -> list[bool] | None:
    """Return which layers see only a window, as `layer_types` says; None if it is not there.

    Raises:
        CheckpointRefused: It does not name a type for each layer.
    """
    said: object = origin.config.get("layer_types")
    if said is None:
        return None
    types = cast("list[object]", said) if isinstance(said, list) else []
    if len(types) != origin.layers:
        raise unusable("layer_types", types)
    return [type_ == "sliding_attention" for type_ in types]


def rotary_share(rope: Mapping[str, Any], default: float | None = None) -> float:
    """Return the share of a head that is rotated.

    Raises:
        CheckpointRefused: It is none, or missing and there is no default.
    """
    share = rope.get("partial_rotary_factor", default)
    if type(share) not in (int, float) or not 0 <= share <= 1:
        raise unusable("partial_rotary_factor", share)
    return share


def llama3_factors(origin: Origin) -> Iterable[Tensor]:
    """Give `rope_freqs.weight` if the rope is Llama 3's: by how much each frequency is slowed down.

    Raises:
        CheckpointRefused: config.json has no numbers where they belong.
    """
    rope = origin.config.global_rope
    if str(rope.get("rope_type", "")).lower() != "llama3":
        return
    dim = origin.config.head_dim
    said = {name: _number(name, rope.get(name, default)) for name, default in _LLAMA3.items()}
    factor, low, high = said["factor"], said["low_freq_factor"], said["high_freq_factor"]
    old = said["original_max_position_embeddings"]
    if not low or not high or not factor or high == low:
        raise unusable("rope_scaling", rope)
    powers = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    frequencies = np.float32(1) / np.power(np.float32(said["rope_theta"]), powers)
    waves = np.float32(2 * math.pi) / frequencies
    smooth = (np.float32(old) / waves - np.float32(low)) / np.float32(high - low)
    between = np.float32(1) / ((np.float32(1) - smooth) / np.float32(factor) + smooth)
    factors = np.where(
        waves < old / high, np.float32(1), np.where(waves > old / low, np.float32(factor), between)
    )
    yield constant("rope_freqs.weight", factors)


_LLAMA3 = {
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
