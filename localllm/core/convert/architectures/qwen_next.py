"""Qwen3-Next and Qwen3.5: linear attention in most layers, and a block that predicts further tokens (MTP).

Source: the converter of llama.cpp, commit 0c1e570. In linear attention several heads of values belong to each
head of keys. Checkpoints hold them group by group; ggml repeats the heads of keys as a whole, so in Qwen3.5's
file the first value head of every group comes first. Qwen3-Next's file keeps the groups.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np

from localllm.core.convert import changes
from localllm.core.convert.architectures.entry import (
    Architecture,
    Into,
    Rule,
    change,
    count,
    made,
    norms_plus_one,
    rename,
)
from localllm.core.convert.architectures.qwen import EXPERT_KEYS, QWEN_EXPERTS
from localllm.core.convert.config import Filled, unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localllm.core.convert.architectures.entry import Change, Origin
    from localllm.core.convert.config import Config
    from localllm.core.convert.tensors import Array, Tensor

_LINEAR = r"(model\.layers\.\d+\.linear_attn)"
_AHEAD = {
    "fc": "eh_proj",
    "pre_fc_norm_embedding": "enorm",
    "pre_fc_norm_hidden": "hnorm",
    "norm": "shared_head.norm",
}
_NAMES = {
    "model.layers.{layer}.eh_proj": "blk.{layer}.nextn.eh_proj",
    "model.layers.{layer}.enorm": "blk.{layer}.nextn.enorm",
    "model.layers.{layer}.hnorm": "blk.{layer}.nextn.hnorm",
    "model.layers.{layer}.shared_head.norm": "blk.{layer}.nextn.shared_head_norm",
}


def _named(name: str, config: Config) -> str:
    """Name the block that predicts further tokens as layers after the last one."""
    last = config.count("num_hidden_layers")
    name = name.removeprefix("model.") if name.startswith("model.mtp.") else name
    if match := re.fullmatch(r"mtp\.layers\.(\d{1,4})\.(.+)", name):
        return f"model.layers.{last + int(match[1])}.{match[2]}"
    if match := re.fullmatch(rf"mtp\.({'|'.join(_AHEAD)})\.(\w+)", name):
        return f"model.layers.{last}.{_AHEAD[match[1]]}.{match[2]}"
    return name


def _layers(config: Config, tensors: Mapping[str, Tensor]) -> int:
    """Count that block only if it is there: fine-tunes leave it out, whatever their config.json says."""
    last = config.count("num_hidden_layers")
    found = (re.match(r"model\.layers\.(\d{1,6})\.", name) for name in tensors)
    ahead = max((int(match[1]) + 1 - last for match in found if match), default=0)
    return last + (config.count("mtp_num_hidden_layers", default=0) or ahead) if ahead > 0 else last


def value_heads(config: Config, dim: int) -> Array:
    """Return the order of rows of values, `dim` to a head: the first head of each group, then the others.

    Raises:
        CheckpointRefused: config.json does not say how many heads there are, or what cannot be.
    """
    keys, values = _heads(config)
    return np.arange(values * dim).reshape(keys, values // keys, dim).swapaxes(0, 1).ravel()


def _heads(config: Config) -> tuple[int, int]:
    keys, values = config.count("linear_num_key_heads"), config.count("linear_num_value_heads")
    if not keys or values % keys:
        raise unusable("linear_num_value_heads", values)
    return keys, values


def _value_dim(config: Config) -> int:
    return config.count("linear_value_head_dim")


def _after_queries_and_keys(config: Config) -> Array:
    before = 2 * config.count("linear_num_key_heads") * config.count("linear_key_head_dim")
    return np.concatenate([np.arange(before), before + value_heads(config, _value_dim(config))])


def separated(config: Config) -> tuple[Array, Array]:
    """Return the rows of queries, of keys and of values; and those of gates, all of them held group by group.

    Raises:
        CheckpointRefused: config.json does not say how many heads there are, or what cannot be.
    """
    keys, values = _heads(config)
    dim, group = config.count("linear_key_head_dim"), values // keys * _value_dim(config)
    rows = np.arange(keys * (2 * dim + 2 * group)).reshape(keys, -1)
    ends = (0, dim, 2 * dim, 2 * dim + group, 2 * dim + 2 * group)
    parts = [rows[:, start:end].ravel() for start, end in pairwise(ends)]
    return np.concatenate(parts[:3]), parts[3]


def _rows(order: Callable[[Config], Array], size: Callable[[Config], int] | None = None) -> Change:
    def make(tensor: Tensor, origin: Origin) -> Tensor:
        wanted = order(origin.config)
        _check(tensor, 0, size(origin.config) if size else len(wanted))
        return changes.picked_rows(tensor, wanted)

    return make


def _columns(tensor: Tensor, origin: Origin) -> Tensor:
    wanted = value_heads(origin.config, _value_dim(origin.config))
    _check(tensor, -1, len(wanted))
    return changes.picked_columns(tensor, wanted)


def _check(tensor: Tensor, dimension: int, size: int) -> None:
    if not tensor.shape or tensor.shape[dimension] != size:
        message = f"{tensor.name}: {tensor.shape} does not have {size} elements for its heads"
        raise ValueError(message)


def _decay(tensor: Tensor, _: Origin) -> Tensor:
    return changes.calculated(
        tensor, lambda values: (-np.exp(values.astype(np.float64))).astype(values.dtype)
    )


def _ahead(origin: Origin) -> int | None:
    return origin.layers - origin.config.count("num_hidden_layers") or None


def _recurrent(origin: Origin) -> list[bool] | None:
    said = origin.config.get("layer_types")
    if said is None:
        return None
    kinds = cast("list[object]", said) if isinstance(said, list) else []
    if len(kinds) != origin.config.count("num_hidden_layers"):
        raise unusable("layer_types", kinds)
    return [kind == "linear_attention" for kind in kinds] + [False] * (origin.layers - len(kinds))


def _alternating(config: Config) -> list[str]:
    interval = config.count("full_attention_interval", default=4) or 1
    kinds = ("full_attention", "linear_attention")
    return [kinds[(layer + 1) % interval > 0] for layer in range(config.count("num_hidden_layers"))]


def _rotated(origin: Origin) -> int:
    factor = origin.config.rope.get("partial_rotary_factor", 0.25)
    if type(factor) not in (int, float):
        raise unusable("partial_rotary_factor", factor)
    return int(origin.config.head_dim * factor)


def _sections(origin: Origin) -> list[int] | None:
    return None if "mrope_section" in origin.config.rope else [11, 11, 10, 0]


_KEYS = (
    *EXPERT_KEYS,
    made("nextn_predict_layers", "u32", _ahead),
    count("ssm.conv_kernel", "linear_conv_kernel_dim"),
    count("ssm.state_size", "linear_key_head_dim"),
    count("ssm.group_count", "linear_num_key_heads"),
    count("ssm.time_step_rank", "linear_num_value_heads"),
    made("ssm.inner_size", "u32", lambda origin: _heads(origin.config)[1] * _value_dim(origin.config)),
    made("attention.recurrent_layers", "bool", _recurrent),
    count("full_attention_interval", "full_attention_interval", default=4),
    made("rope.dimension_count", "u32", _rotated),
)
_COMMON = (*QWEN_EXPERTS, norms_plus_one(r".*(?<!linear_attn\.)norm\.weight"))
_one_each = _rows(lambda config: value_heads(config, 1))
_values = _rows(lambda config: value_heads(config, _value_dim(config)))
_channels = _rows(_after_queries_and_keys)


def _separated(part: int) -> Change:
    return _rows(lambda config: separated(config)[part], lambda config: sum(map(len, separated(config))))


_NEXT = (
    change(_LINEAR + r"\.A_log", _decay),
    rename(_LINEAR + r"\.dt_bias", r"\1.dt_proj.bias"),
    change(_LINEAR + r"\.conv1d\.weight", lambda tensor, _: changes.squeezed(tensor)),
    Rule(
        _LINEAR + r"\.in_proj_qkvz\.weight",
        (
            Into(r"\1.in_proj_qkv.weight", _separated(0)),
            Into(r"\1.in_proj_z.weight", _separated(1)),
        ),
    ),
    *_COMMON,
)
_35 = (
    change(_LINEAR + r"\.A_log", lambda tensor, origin: _decay(_one_each(tensor, origin), origin)),
    change(_LINEAR + r"\.dt_bias", _one_each, r"\1.dt_proj.bias"),
    change(_LINEAR + r"\.conv1d\.weight", lambda tensor, origin: changes.squeezed(_channels(tensor, origin))),
    change(_LINEAR + r"\.in_proj_qkv\.weight", _channels),
    change(_LINEAR + r"\.in_proj_z\.weight", _values),
    change(_LINEAR + r"\.in_proj_[ab]\.weight", _one_each),
    change(_LINEAR + r"\.out_proj\.weight", _columns),
    *_COMMON,
)


def _entry35(name: str, *classes: str) -> Architecture:
    return Architecture(
        name=name,
        classes=classes,
        vocabulary=("bpe",),
        names=_NAMES,
        named=_named,
        layers=_layers,
        uniform=False,
        rules=_35,
        keys=(*_KEYS, made("rope.dimension_sections", "i32", _sections)),
    )


ENTRIES = (
    Architecture(
        name="qwen3next",
        classes=("Qwen3NextForCausalLM",),
        vocabulary=("bpe",),
        defaults={
            "qwen3_next": {
                "num_key_value_heads": 2,
                "max_position_embeddings": 32768,
                "rope_theta": 1e4,
                "rms_norm_eps": 1e-6,
                "head_dim": 256,
                "partial_rotary_factor": 0.25,
                "linear_conv_kernel_dim": 4,
                "linear_key_head_dim": 128,
                "linear_value_head_dim": 128,
                "linear_num_key_heads": 16,
                "linear_num_value_heads": 32,
                "moe_intermediate_size": 512,
                "shared_expert_intermediate_size": 512,
                "num_experts": 512,
                "num_experts_per_tok": 10,
                "layer_types": Filled(_alternating),
            }
        },
        names=_NAMES,
        named=_named,
        layers=_layers,
        uniform=False,
        rules=_NEXT,
        keys=_KEYS,
    ),
    _entry35("qwen35", "Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration"),
    _entry35("qwen35moe", "Qwen3_5MoeForCausalLM", "Qwen3_5MoeForConditionalGeneration"),
)
