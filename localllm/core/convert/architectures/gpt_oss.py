"""gpt-oss: experts in MXFP4, whose bits are moved and never rounded; as plain numbers in some fine-tunes.

Source: the converter of llama.cpp, commit 0c1e570.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localllm.core.convert import changes
from localllm.core.convert.architectures.entry import Architecture, Into, Rule, change, count, drop, rename
from localllm.core.convert.architectures.hyperparameters import COMMON
from localllm.core.convert.dequantize.mxfp4 import repacked
from localllm.core.convert.dequantize.refusals import misfit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.convert.architectures.entry import Change, Origin
    from localllm.core.convert.tensors import Tensor

_GATE, _UP, _DOWN = slice(0, None, 2), slice(1, None, 2), slice(None)  # rows: gate and up take turns
_PARTS = {"down": (("down", _DOWN),), "gate_up": (("gate", _GATE), ("up", _UP))}
_STEM = r"model\.layers\.(?P<layer>\d+)\.mlp\.experts\.(?P<part>down|gate_up)_proj"


def _experts(origin: Origin) -> Iterable[Tensor]:
    for name in origin.tensors:
        match = re.fullmatch(_STEM + r"_(blocks|scales)", name)
        if match is None:
            continue
        stem = name.rpartition("_")[0]
        blocks, scales = (origin.tensors.get(f"{stem}_{part}") for part in ("blocks", "scales"))
        if blocks is None or scales is None:
            raise misfit(stem, "only the blocks or only the scales are there")
        for part, rows in _PARTS[match["part"]] if match[3] == "scales" else ():
            yield repacked(f"blk.{match['layer']}.ffn_{part}_exps.weight", blocks, scales, rows)


def _columns(tensor: Tensor, chosen: slice) -> Tensor:
    return changes.picked_columns(tensor, range(tensor.shape[-1])[chosen])


def _biases(chosen: slice) -> Change:
    return lambda tensor, _: _columns(tensor, chosen)


def _transposed(chosen: slice) -> Change:
    def of_one(tensor: Tensor) -> Tensor:
        return changes.transposed(tensor if chosen == _DOWN else _columns(tensor, chosen))

    return lambda tensor, _: changes.each_part(tensor, of_one)


ENTRIES = (
    Architecture(
        name="gpt-oss",
        classes=("GptOssForCausalLM",),
        vocabulary=("bpe",),
        defaults={
            "gpt_oss": {
                "num_key_value_heads": 8,
                "head_dim": 64,
                "sliding_window": 128,
                "max_position_embeddings": 131072,
                "rope_theta": 1.5e5,
                "rms_norm_eps": 1e-5,
                "num_local_experts": 128,
                "num_experts_per_tok": 4,
                "intermediate_size": 2880,
                "rope_scaling": {
                    "rope_type": "yarn",
                    "factor": 32.0,
                    "beta_fast": 32.0,
                    "beta_slow": 1.0,
                    "truncate": False,
                    "original_max_position_embeddings": 4096,
                },
            }
        },
        rules=(
            rename(r"(.*sinks)(?:\.weight)?", r"\1.weight"),
            drop(_STEM + r"_(blocks|scales)"),
            rename(r"(.*mlp\.experts\.down_proj)_bias", r"\1.bias"),
            change(r"(.*mlp\.experts\.down_proj)", _transposed(_DOWN), r"\1.weight"),
            Rule(
                r"(.*mlp\.experts)\.gate_up_proj_bias",
                (Into(r"\1.gate_proj.bias", _biases(_GATE)), Into(r"\1.up_proj.bias", _biases(_UP))),
            ),
            Rule(
                r"(.*mlp\.experts)\.gate_up_proj",
                (
                    Into(r"\1.gate_proj.weight", _transposed(_GATE)),
                    Into(r"\1.up_proj.weight", _transposed(_UP)),
                ),
            ),
        ),
        keys=(
            *COMMON,
            count("attention.sliding_window", "sliding_window"),
            count("expert_feed_forward_length", "intermediate_size"),
        ),
        extra_tensors=_experts,
    ),
)
