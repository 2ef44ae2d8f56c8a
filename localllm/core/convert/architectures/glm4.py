"""GLM-4 (0414): gate and up in one, and a norm before and after each part of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.convert.architectures.entry import Architecture, made
from localllm.core.convert.architectures.hyperparameters import COMMON, rotary_share
from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Origin


def _rotated(origin: Origin) -> int:
    return int(origin.config.head_dim * rotary_share(origin.config.rope, 0.5))


def _for_pictures(origin: Origin) -> Text | None:
    if "mrope_section" not in origin.config.rope:
        return None
    return text("GLM-4 for pictures and videos is not supported yet.")


ENTRIES = (
    Architecture(
        name="glm4",
        classes=("Glm4ForCausalLM",),
        vocabulary=("glm4",),
        defaults={
            "glm4": {
                "head_dim": 128,
                "num_key_value_heads": 2,
                "partial_rotary_factor": 0.5,
                "max_position_embeddings": 131072,
                "rope_theta": 1e4,
                "rms_norm_eps": 1.5625e-7,
            }
        },
        keys=(*COMMON, made("rope.dimension_count", "u32", _rotated)),
        objection=_for_pictures,
    ),
)
