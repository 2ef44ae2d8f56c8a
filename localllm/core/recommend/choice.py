"""The answer: models in a quantization, with the settings to load them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.fit import FitSettings

if TYPE_CHECKING:
    from localllm.core.catalogue import CatalogueModel
    from localllm.core.fit import MemoryEstimate, Placement, Verdict
    from localllm.core.quality import Quality
    from localllm.core.recommend.wish import Wish
    from localllm.core.speed import SpeedEstimate
    from localllm.texts import Text


@dataclass(frozen=True)
class RecommendedSettings:
    """How to load the model."""

    threads: int
    context_length: int
    gpu_layers: int
    experts_layers_on_cpu: int
    flash_attention: bool = True
    outputs_max: int = 1
    swa_full: bool = False
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    batch: int = 2048
    ubatch: int = 512
    embeddings: bool = False

    @property
    def fit(self) -> FitSettings:
        """What of it decides the size of the context."""
        return FitSettings(
            self.context_length,
            ubatch=self.ubatch,
            batch=self.batch,
            flash_attention=self.flash_attention,
            outputs_max=self.outputs_max,
            swa_full=self.swa_full,
            kv_type_k=self.kv_type_k,
            kv_type_v=self.kv_type_v,
            embeddings=self.embeddings,
        )


@dataclass(frozen=True)
class Choice:
    """One model in one quantization on this computer.

    Attributes:
        size: Bytes of the file.
        quality: After quantization.
        reason: Why this one, in a sentence.
        why_not: What speaks against it; None for what is usable.
    """

    model: CatalogueModel
    quant: str
    size: int
    memory: MemoryEstimate
    placement: Placement
    speed: SpeedEstimate
    quality: Quality
    verdict: Verdict
    settings: RecommendedSettings
    reason: Text
    why_not: Text | None

    @property
    def pace(self) -> float:
        """Tokens per second that count: of the answer, for embeddings of reading."""
        reads = self.settings.embeddings and self.speed.prompt_tokens_per_second
        return reads or self.speed.tokens_per_second


@dataclass(frozen=True)
class Recommendation:
    """Three picks, and one row for each model: the usable ones first, then the others.

    Attributes:
        smallest: Where not even the smallest model fits, that one; else None.
    """

    wish: Wish
    fast: Choice | None
    balanced: Choice | None
    best: Choice | None
    ranked: tuple[Choice, ...]
    smallest: Choice | None = None
