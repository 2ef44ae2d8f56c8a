"""Mistral Small 3.1 and Ministral 3: Mistral with pictures, whose text part is converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.convert.architectures.entry import Architecture, made, rotary_pairs
from localllm.core.convert.architectures.hyperparameters import llama3_factors
from localllm.core.convert.architectures.llama import LLAMA_KEYS, MISTRAL_CLASS
from localllm.core.convert.config import unusable
from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Origin, Setting

_MINISTRAL = "ministral3"


def _of_rope(name: str, said: str) -> Setting:
    """Make a key that Ministral 3 must have among what it says of positions."""

    def make(origin: Origin) -> float | None:
        if origin.config.model_type != _MINISTRAL:
            return None
        value = origin.config.rope.get(said)
        if type(value) not in (int, float):
            raise unusable(said, value)
        return value

    return made(name, "f32", make)


def _unreadable(origin: Origin) -> Text | None:
    if origin.config.model_type == "mistral4":
        return text("The architecture {name} is not supported yet.", name="Mistral 4")
    if origin.config.model_type == _MINISTRAL and origin.config.rope.get("rope_type") != "yarn":
        raise unusable("rope_type", origin.config.rope.get("rope_type"))
    return None


ENTRIES = (
    Architecture(
        name="mistral3",
        classes=("Mistral3ForConditionalGeneration", "Ministral3ForCausalLM"),
        vocabulary=("sentencepiece", "byte_fallback", "bpe"),
        defaults={"mistral": MISTRAL_CLASS, "mistral3": MISTRAL_CLASS},
        rules=rotary_pairs(),
        keys=(
            *LLAMA_KEYS,
            _of_rope("rope.scaling.yarn_log_multiplier", "mscale_all_dim"),
            _of_rope("attention.temperature_scale", "llama_4_scaling_beta"),
        ),
        extra_tensors=llama3_factors,
        objection=_unreadable,
    ),
)
