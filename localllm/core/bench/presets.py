"""Benches that people ask for by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.core.bench.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

PRESETS = ("quick", "llama-bench", "kv-types", "threads", "offload", "depth")
_DEPTHS = (0, 1024, 4096, 8192)
_KV_TYPES = ("f16", "q8_0", "q4_0")
_STEPS = 4  # of layers on the GPU, besides none
_SHORT = Parameters((128,), (32,), repetitions=3)


def preset(name: str, cores: int, layers: int) -> Parameters:
    """Return what a preset measures on a computer with so many usable cores, of a model with so many layers.

    Raises:
        KeyError: There is none of that name.
    """
    makers: dict[str, Callable[[], Parameters]] = {
        "quick": lambda: replace(_SHORT, prompts=(64,), generated=(16,)),
        "llama-bench": Parameters,
        "kv-types": lambda: replace(_SHORT, depths=(2048,), kv_types_k=_KV_TYPES, kv_types_v=_KV_TYPES),
        "threads": lambda: replace(_SHORT, threads=_thread_counts(cores)),
        "offload": lambda: replace(_SHORT, gpu_layers=layer_counts(layers)),
        "depth": lambda: replace(_SHORT, depths=_DEPTHS),
    }
    return makers[name]()


def _thread_counts(cores: int) -> tuple[int, ...]:
    """Return 1, 2, 4, … and all cores."""
    doubled = [1 << step for step in range(cores.bit_length()) if 1 << step < cores]
    return (*doubled, cores)


def layer_counts(layers: int) -> tuple[int, ...]:
    """Return none, some, and all layers; llama.cpp counts the output as one more."""
    whole = layers + 1
    return tuple(dict.fromkeys(round(whole * step / _STEPS) for step in range(_STEPS + 1)))
