"""Qwen3-Next and Qwen3.5: linear attention in most layers, and a block that predicts further tokens (MTP).

Source: the converter of llama.cpp, commit 0c1e570. Qwen3-Next's file keeps the groups of heads that linear
attention has in checkpoints, Qwen3.5's does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

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
from localllm.core.convert.architectures.hyperparameters import rotary_share
from localllm.core.convert.architectures.linear_attention import (
    all_channels,
    all_values,
    columns_of_values,
    decay,
    linear_heads,
    one_each,
    separated_rows,
)
from localllm.core.convert.architectures.qwen import EXPERT_KEYS, QWEN_EXPERTS
from localllm.core.convert.config import unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.core.convert.architectures.entry import Origin
    from localllm.core.convert.config import Config
    from localllm.core.convert.tensors import Tensor

_LINEAR = r"(model\.layers\.\d+\.linear_attn)"
_NEXT_TYPE = "qwen3_next"
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


def _ahead(origin: Origin) -> int | None:
    return origin.layers - origin.config.count("num_hidden_layers") or None


def _recurrent(origin: Origin) -> list[bool] | None:
    said, last = origin.config.get("layer_types"), origin.config.count("num_hidden_layers")
    if said is None and origin.config.model_type == _NEXT_TYPE:
        interval = origin.config.count("full_attention_interval", default=4) or 1
        recurrent = [(layer + 1) % interval > 0 for layer in range(last)]
    elif said is None:
        return None
    else:
        kinds = cast("list[object]", said) if isinstance(said, list) else []
        if len(kinds) != last:
            raise unusable("layer_types", kinds)
        recurrent = [kind == "linear_attention" for kind in kinds]
    return recurrent + [False] * (origin.layers - last)


def _rotated(origin: Origin) -> int:
    return int(origin.config.head_dim * rotary_share(origin.config.rope, 0.25))


def _inner_size(origin: Origin) -> int:
    heads = linear_heads(origin.config)
    return heads.values * heads.value_dim


def _sections(origin: Origin) -> list[int] | None:
    return None if "mrope_section" in origin.config.rope else [11, 11, 10, 0]


_KEYS = (
    *EXPERT_KEYS,
    made("nextn_predict_layers", "u32", _ahead),
    count("ssm.conv_kernel", "linear_conv_kernel_dim"),
    count("ssm.state_size", "linear_key_head_dim"),
    count("ssm.group_count", "linear_num_key_heads"),
    count("ssm.time_step_rank", "linear_num_value_heads"),
    made("ssm.inner_size", "u32", _inner_size),
    made("attention.recurrent_layers", "bool", _recurrent),
    count("full_attention_interval", "full_attention_interval", default=4),
    made("rope.dimension_count", "u32", _rotated),
)
_COMMON = (*QWEN_EXPERTS, norms_plus_one(r".*(?<!linear_attn\.)norm\.weight"))
_NEXT = (
    change(_LINEAR + r"\.A_log", decay),
    rename(_LINEAR + r"\.dt_bias", r"\1.dt_proj.bias"),
    change(_LINEAR + r"\.conv1d\.weight", lambda tensor, _: changes.squeezed(tensor)),
    Rule(
        _LINEAR + r"\.in_proj_qkvz\.weight",
        (
            Into(r"\1.in_proj_qkv.weight", separated_rows(0)),
            Into(r"\1.in_proj_z.weight", separated_rows(1)),
        ),
    ),
    *_COMMON,
)
_35 = (
    change(_LINEAR + r"\.A_log", lambda tensor, origin: decay(one_each(tensor, origin), origin)),
    change(_LINEAR + r"\.dt_bias", one_each, r"\1.dt_proj.bias"),
    change(
        _LINEAR + r"\.conv1d\.weight", lambda tensor, origin: changes.squeezed(all_channels(tensor, origin))
    ),
    change(_LINEAR + r"\.in_proj_qkv\.weight", all_channels),
    change(_LINEAR + r"\.in_proj_z\.weight", all_values),
    change(_LINEAR + r"\.in_proj_[ab]\.weight", one_each),
    change(_LINEAR + r"\.out_proj\.weight", columns_of_values),
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
            _NEXT_TYPE: {
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
