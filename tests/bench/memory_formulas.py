"""How other tools compute a model's memory, restated from what they publish; nothing of theirs is copied.

Each formula gets what it asks for of one model and returns bytes. Dimensions are those of the model's own
configuration. Versions and places: llmfit 1.1 (`llmfit-core/src/models.rs`, MIT), whichllm 0.5
(`engine/vram.py`, MIT), hf-mem 0.5 (MIT) and the pre-flight check of Ollama of August 2026 (MIT), ggufit 0.3
and llamafit 0.1 (the formulas as their documentation describes them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.shape import ModelShape

MIB, GIB = 2**20, 2**30
F16 = 2  # bytes of a cache element


@dataclass(frozen=True)
class Facts:
    """What a formula may look at.

    Attributes:
        quant: "Q4_K_M", "Q8_0" or "MXFP4".
        kv_heads: As the model's configuration has them; a latent cache has fewer in the file.
    """

    shape: ModelShape
    quant: str
    kv_heads: int
    file_bytes: int
    context: int

    def by_quant(self, four_bits: float, q8_0: float) -> float:
        """Return a table's entry for this quantization."""
        return q8_0 if self.quant == "Q8_0" else four_bits

    def cache(self, head_length: int) -> float:
        """Return keys and values of all layers for the whole context."""
        return 2 * F16 * self.shape.layers * self.kv_heads * head_length * self.context

    @property
    def width_per_head(self) -> int:
        """The head's width as if it were always the model's width divided by the heads."""
        return self.shape.embedding_width // self.shape.heads

    @property
    def latent_cache(self) -> float:
        """The cache of a model with latent attention; 0 for others."""
        return F16 * self.shape.mla_width * self.shape.layers * self.context


def naive(facts: Facts) -> float:
    """The rule of the courses: parameters x bytes x 1.2, and a cache as wide as the model."""
    weights = facts.shape.parameters * facts.by_quant(0.5, 1.0) * 1.2
    return weights + F16 * 2 * facts.shape.layers * facts.shape.embedding_width * facts.context


def llmfit(facts: Facts) -> float:
    """Bytes per parameter by quantization, a cache by KV heads, half a GiB."""
    weights = facts.shape.parameters / 1e9 * facts.by_quant(0.58, 1.05) * GIB
    return weights + facts.cache(facts.shape.key_length) + GIB / 2


def whichllm(facts: Facts) -> float:
    """The file, a cache by the number of parameters, activations, half a GB of framework."""
    shape, context = facts.shape, float(facts.context)
    if shape.sliding_window:
        share = shape.full_layers / shape.layers
        context = share * context + (1 - share) * min(context, shape.sliding_window)
    size = shape.active_parameters if shape.experts else shape.parameters
    cache = size / 1e9 * (4 if shape.experts else 1) * context / 1024 * 3.5 * MIB
    return facts.file_bytes + cache + 400e6 + 0.08 * size + 150e6 * facts.context / 4096 + 500e6


def ggufit(facts: Facts) -> float:
    """Bytes per parameter and 7.6 %, 1 GiB, a cache by KV heads or latent, none for a recurrent model."""
    weights = facts.shape.parameters * facts.by_quant(0.6, 1.05) * 1.076
    return weights + GIB + (facts.latent_cache or facts.cache(facts.shape.key_length))


def llamafit(facts: Facts) -> float:
    """The file, the cache of the attention layers, a line for the compute buffer at 512, logits, 1 GiB."""
    shape = facts.shape
    attention = 1 - shape.recurrent_layers / shape.layers
    cache = facts.latent_cache or facts.cache(shape.key_length) * attention
    compute = (1090 + 1.5 * facts.context / 1024) * MIB
    return facts.file_bytes + cache + compute + 4 * shape.vocabulary * 2048 + GIB


def hf_mem(facts: Facts) -> float:
    """The file, and a cache by KV heads whose width is the model's divided by the heads."""
    return facts.file_bytes + facts.cache(facts.width_per_head)


FORMULAS: dict[str, Callable[[Facts], float]] = {
    "naive rule": naive,
    "llmfit": llmfit,
    "whichllm": whichllm,
    "ggufit": ggufit,
    "llamafit": llamafit,
    "hf-mem, Ollama’s pre-flight": hf_mem,
}
