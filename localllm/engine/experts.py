"""Which tensors of a model are its experts, and of how many layers they stay in main memory."""

from __future__ import annotations

import re

AUTOMATIC = -1  # as few layers as must be, where that is asked for; none in the engine
ALL_LAYERS = 512  # llama.cpp loads no model with more

_EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"  # LLM_FFN_EXPS_REGEX of llama.cpp 0c1e570
_OF_LAYER = re.compile(rf"^blk\.(\d+){_EXPERTS}")


def experts_pattern(layers: int) -> str:
    """Return the pattern of the experts of the first layers, as llama.cpp's --n-cpu-moe means it.

    llama.cpp reads each pattern anew for each tensor, so that one of many layers is quicker than many.
    """
    if layers >= ALL_LAYERS:
        return _EXPERTS
    return rf"blk\.({'|'.join(map(str, range(layers)))}){_EXPERTS}"


def layer_of_experts(tensor: str) -> int | None:
    """Return the layer whose experts a tensor has; None if it has none."""
    found = _OF_LAYER.match(tensor)
    return int(found[1]) if found else None
