"""OLMo 2, whose norms come after attention and feed-forward, and OLMo 3, which adds windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.convert.architectures.entry import Architecture, count, made
from localllm.core.convert.architectures.hyperparameters import COMMON, windows
from localllm.core.convert.config import Defaults, Filled

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Origin


def _windows(origin: Origin) -> list[bool] | None:
    if "sliding_window" not in origin.config:
        return None
    return windows(origin) or [(layer + 1) % 4 > 0 for layer in range(origin.layers)]


_OLMO: Defaults = {
    "num_key_value_heads": Filled(lambda config: config.count("num_attention_heads")),
    "max_position_embeddings": 2048,
    "rope_theta": 1e4,
    "rms_norm_eps": 1e-5,
}

ENTRIES = (
    Architecture(
        name="olmo2",
        classes=("Olmo2ForCausalLM", "Olmo3ForCausalLM"),
        vocabulary=("bpe",),
        defaults={"olmo2": _OLMO, "olmo3": {**_OLMO, "sliding_window": 4096}},
        keys=(
            *COMMON,
            count("attention.sliding_window", "sliding_window"),
            made("attention.sliding_window_pattern", "bool", _windows),
        ),
    ),
)
