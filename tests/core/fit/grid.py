"""Settings to compare the closed form and llama.cpp on: every kind of setting, mixed by a fixed draw."""

from __future__ import annotations

import random

from localllm.core.fit import FitSettings

CONTEXTS = (2048, 4096, 5000, 8192, 16384, 32768, 65536, 131072)
UBATCHES = (256, 512, 512, 1024, 2048)
SEQUENCES = (1, 1, 1, 2, 4, 8)
CACHE_TYPES = ("f16", "bf16", "q8_0", "q8_0", "q5_1", "q4_0", "iq4_nl", "f32")
USUAL = (FitSettings(8192), FitSettings(32768), FitSettings(8192, kv_type_k="q8_0", kv_type_v="q8_0"))


def mixed_settings(count: int, seed: str, *, latent: bool = False) -> list[FitSettings]:
    """Return the usual settings and mixed ones, the same for the same seed.

    Args:
        latent: The cache is latent: llama.cpp takes one type for keys and values then.
    """
    draw = random.Random(seed)
    return [*USUAL, *(_mixed(draw, latent=latent) for _ in range(count - len(USUAL)))]


def _mixed(draw: random.Random, *, latent: bool) -> FitSettings:
    flash, sequences = draw.random() < 0.65, draw.choice(SEQUENCES)
    kind = draw.choice(CACHE_TYPES)
    other = draw.choice(CACHE_TYPES) if flash else "f16"  # a quantized V needs flash attention
    return FitSettings(
        draw.choice(CONTEXTS),
        ubatch=draw.choice(UBATCHES),
        sequences=sequences,
        flash_attention=flash,
        outputs_max=draw.choice((sequences, sequences, 0)),
        swa_full=draw.random() < 0.25,
        kv_type_k=other if latent else kind,
        kv_type_v=other,
    )
