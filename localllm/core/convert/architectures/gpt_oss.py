"""gpt-oss: experts in MXFP4, whose bits are moved and never rounded; as plain numbers in some fine-tunes.

Sources: OCP Microscaling Formats 1.0 for MXFP4; block_mxfp4 and the converter of llama.cpp, commit 0c1e570.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from localllm.core.convert import changes
from localllm.core.convert.architectures.entry import Architecture, Into, Rule, change, count, drop, rename
from localllm.core.convert.architectures.hyperparameters import COMMON
from localllm.core.convert.tensors import Computed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.convert.architectures.entry import Change, Origin
    from localllm.core.convert.tensors import Array, Tensor

_GATE, _UP = (0, 2), (1, 2)  # first row and step: gate and up alternate
_DOWN = (0, 1)


def packed_blocks(codes: Array, scales: Array) -> Array:
    """Return GGUF's blocks of 17 bytes: the scale, then codes 0 … 15 in low halves and 16 … 31 in high ones.

    Args:
        codes: uint8, […, blocks, 16]; code 2j in the low half of byte j, 2j + 1 in the high one.
        scales: uint8, […, blocks].
    """
    single = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*scales.shape, 32)
    paired = single[..., :16] | single[..., 16:] << 4
    blocks = np.concatenate([scales[..., None], paired], axis=-1)
    return blocks.reshape(*scales.shape[:-1], -1)


def _packed(name: str, codes: Tensor, scales: Tensor, rows: tuple[int, int]) -> Tensor:
    if len(codes.shape) != 4 or codes.shape[3] != 16 or codes.shape[:3] != scales.shape:
        message = f"{codes.name}: {codes.shape} are not blocks for scales of {scales.shape}"
        raise ValueError(message)
    start, step = rows
    experts, height, blocks = scales.shape
    shape = (experts, len(range(start, height, step)), blocks * 32)

    def make(first: int, last: int) -> Array:
        return packed_blocks(
            codes.read(first, last)[:, start::step], scales.read(first, last)[:, start::step]
        )

    return Computed(name, shape, "MXFP4", make, sources=(codes, scales))


def _experts(origin: Origin) -> Iterable[Tensor]:
    for name, scales in origin.tensors.items():
        match = re.fullmatch(r"model\.layers\.(\d+)\.mlp\.experts\.(down|gate_up)_proj_scales", name)
        codes = origin.tensors.get(name.removesuffix("scales") + "blocks") if match else None
        if match is None or codes is None:
            continue
        for part, rows in (("down", _DOWN),) if match[2] == "down" else (("gate", _GATE), ("up", _UP)):
            yield _packed(f"blk.{match[1]}.ffn_{part}_exps.weight", codes, scales, rows)


def _rows_of_columns(start: int, step: int) -> Change:
    def of_one(tensor: Tensor) -> Tensor:
        picked = tensor if step == 1 else changes.picked_columns(tensor, range(start, tensor.shape[-1], step))
        return changes.transposed(picked)

    return lambda tensor, _: changes.each_part(tensor, of_one)


def _biases(start: int, step: int) -> Change:
    return lambda tensor, _: changes.picked_columns(tensor, range(start, tensor.shape[-1], step))


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
            drop(r".*mlp\.experts\.(down|gate_up)_proj_(blocks|scales)"),
            rename(r"(.*mlp\.experts\.down_proj)_bias", r"\1.bias"),
            change(r"(.*mlp\.experts\.down_proj)", _rows_of_columns(*_DOWN), r"\1.weight"),
            Rule(
                r"(.*mlp\.experts)\.gate_up_proj_bias",
                (Into(r"\1.gate_proj.bias", _biases(*_GATE)), Into(r"\1.up_proj.bias", _biases(*_UP))),
            ),
            Rule(
                r"(.*mlp\.experts)\.gate_up_proj",
                (
                    Into(r"\1.gate_proj.weight", _rows_of_columns(*_GATE)),
                    Into(r"\1.up_proj.weight", _rows_of_columns(*_UP)),
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
