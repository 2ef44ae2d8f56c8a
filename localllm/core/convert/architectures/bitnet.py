"""BitNet b1.58 in its first published layout: weights become three values when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from localllm.core.convert import changes
from localllm.core.convert.architectures.entry import Architecture, change, made
from localllm.core.convert.architectures.hyperparameters import COMMON
from localllm.core.convert.architectures.llama import LLAMA_CLASS
from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Origin
    from localllm.core.convert.tensors import Array

_MICROSOFTS = "BitNetForCausalLM"


def ternary(weights: Array) -> Array:
    """Round a matrix to −s, 0 and s, s being the mean of its magnitudes; float32 or float16 as it comes.

    Source: Ma et al. 2024, The Era of 1-bit LLMs, equations 1 to 3; division instead of multiplication by s
    as in the converter of llama.cpp, commit 0c1e570.
    """
    mean = np.float32(np.abs(weights).mean(dtype=np.float64))
    inverse = np.float32(1) / max(mean, np.float32(1e-5))
    return (np.clip(np.rint(weights.astype(np.float32) * inverse), -1, 1) / inverse).astype(weights.dtype)


def _other_layout(origin: Origin) -> Text | None:
    if origin.config.architecture != _MICROSOFTS:
        return None
    return text(
        "BitNet as Microsoft publishes it cannot be converted: llama.cpp calculates this architecture "
        "in another way than the model was trained."
    )


ENTRIES = (
    Architecture(
        name="bitnet",
        classes=("BitnetForCausalLM", _MICROSOFTS),
        vocabulary=("sentencepiece",),
        defaults={
            "bitnet": {
                "num_key_value_heads": 5,
                "max_position_embeddings": 2048,
                "rope_theta": 5e5,
                "rms_norm_eps": 1e-5,
            },
            "llama": LLAMA_CLASS,
        },
        rules=(
            change(
                r".*\.([qkvo]|gate|up|down)_proj\.weight",
                lambda tensor, _: changes.calculated(tensor, ternary, whole=True),
            ),
        ),
        keys=(
            *COMMON,
            made("rope.scaling.type", "string", lambda _: "linear"),
            made("rope.scaling.factor", "f32", lambda _: 1.0),
        ),
        objection=_other_layout,
    ),
)
