"""The sampler chain: llama.cpp's own samplers in llama.cpp's own order (common/sampling.cpp)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from localllm.engine.child.native import llama

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.engine.protocol import Sampling


class SamplerChain:
    """A chain for one answer; `seed` is the one that was used, drawn when none was asked for."""

    def __init__(self, sampling: Sampling, vocabulary: int) -> None:
        self.seed = sampling.seed if sampling.seed >= 0 else secrets.randbits(32)
        self.handle: Any = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        self._penalizes = _has_penalties(sampling)
        self._last_n = sampling.repeat_last_n
        for sampler in _samplers(sampling, self.seed & 0xFFFFFFFF, vocabulary):
            llama.llama_sampler_chain_add(self.handle, sampler)

    def accept_prompt(self, tokens: Sequence[int]) -> None:
        """Let penalties see the end of the prompt."""
        if self._penalizes:
            for token in tokens[-self._last_n :] if self._last_n > 0 else tokens:
                llama.llama_sampler_accept(self.handle, token)

    def free(self) -> None:
        """Free the chain and its samplers."""
        llama.llama_sampler_free(self.handle)


def _has_penalties(sampling: Sampling) -> bool:
    changes = (sampling.repeat_penalty - 1, sampling.presence_penalty, sampling.frequency_penalty)
    return sampling.repeat_last_n != 0 and any(changes)


def _samplers(sampling: Sampling, seed: int, vocabulary: int) -> list[Any]:
    chain: list[Any] = []
    if _has_penalties(sampling):
        chain.append(
            llama.llama_sampler_init_penalties(
                vocabulary,
                sampling.repeat_last_n,
                sampling.repeat_penalty,
                sampling.frequency_penalty,
                sampling.presence_penalty,
            )
        )
    if sampling.temperature <= 0:
        return [*chain, llama.llama_sampler_init_greedy()]
    if sampling.top_k > 0:
        chain.append(llama.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(llama.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p > 0:
        chain.append(llama.llama_sampler_init_min_p(sampling.min_p, 1))
    return [*chain, llama.llama_sampler_init_temp(sampling.temperature), llama.llama_sampler_init_dist(seed)]
