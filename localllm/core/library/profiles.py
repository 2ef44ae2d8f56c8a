"""Says what a load profile sets."""

from __future__ import annotations

import dataclasses
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.engine.experts import ALL_LAYERS
from localllm.engine.protocol import LoadSettings, Sampling
from localllm.texts import Text, plural, text

if TYPE_CHECKING:
    from localllm.core.library.model import LoadProfile

_LONGEST_PROMPT = 60  # characters shown of a system prompt


def describe_profile(profile: LoadProfile) -> Text:
    """Return in one line what a profile sets."""
    parts: list[Text] = [text("{tokens} tokens", tokens=profile.load.context_length)]
    usual = LoadSettings()
    if profile.load.threads:
        parts.append(plural(profile.load.threads, "{count} thread", "{count} threads"))
    if profile.load.gpu_layers != usual.gpu_layers:
        parts.append(plural(profile.load.gpu_layers, "1 GPU layer", "{count} GPU layers"))
    experts = profile.load.experts_layers_on_cpu
    if experts >= ALL_LAYERS:
        parts.append(text("all experts in main memory"))
    elif experts >= 0:
        parts.append(
            plural(experts, "1 layer's experts in main memory", "{count} layers' experts in main memory")
        )
    if profile.load.kv_type_k != usual.kv_type_k:
        parts.append(text("KV {kind}", kind=profile.load.kv_type_k))
    parts += [
        text("{adapter} × {strength}", adapter=Path(adapter.path).stem, strength=f"{adapter.strength:g}")
        for adapter in profile.load.adapters
    ]
    parts += [text("{setting}", setting=words) for words in _changed(profile.sampling or Sampling())[:3]]
    if profile.system_prompt:
        prompt = " ".join(profile.system_prompt.split())
        short = prompt if len(prompt) <= _LONGEST_PROMPT else f"{prompt[:_LONGEST_PROMPT]}…"
        parts.append(text("“{prompt}”", prompt=short))
    return reduce(lambda whole, part: text("{one} · {other}", one=whole, other=part), parts)


def _changed(sampling: Sampling) -> list[str]:
    return [
        f"{entry.name} {getattr(sampling, entry.name):g}"
        for entry in dataclasses.fields(Sampling)
        if isinstance(entry.default, int | float) and getattr(sampling, entry.name) != entry.default
    ]
