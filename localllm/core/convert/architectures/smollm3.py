"""SmolLM3: Llama, but for every fourth layer, which knows no positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.convert.architectures.entry import Architecture, rotary_pairs
from localllm.core.convert.architectures.hyperparameters import llama3_factors
from localllm.core.convert.architectures.llama import LLAMA_KEYS
from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Origin

_EVERY = 4  # llama.cpp has this number built in


def _other_layers(origin: Origin) -> Text | None:
    built_in = [int((layer + 1) % _EVERY > 0) for layer in range(origin.layers)]
    interval = origin.config.get("no_rope_layer_interval", default=_EVERY)
    said = origin.config.get("no_rope_layers")
    if said == built_in or (said is None and interval == _EVERY):
        return None
    return text(
        "llama.cpp leaves positions out of every fourth layer of a SmolLM3; config.json names other layers."
    )


ENTRIES = (
    Architecture(
        name="smollm3",
        classes=("SmolLM3ForCausalLM",),
        vocabulary=("sentencepiece", "byte_fallback", "bpe"),
        defaults={
            "smollm3": {
                "num_key_value_heads": 4,
                "max_position_embeddings": 32768,
                "rope_theta": 2e6,
                "rms_norm_eps": 1e-6,
            }
        },
        rules=rotary_pairs(),
        keys=LLAMA_KEYS,
        extra_tensors=llama3_factors,
        objection=_other_layers,
    ),
)
