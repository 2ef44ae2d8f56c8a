"""What a token costs, as the quantities that its time is a sum of: t = Σ device Σ quantity × seconds of it.

Times are linear in them, so the seconds can be found from measurements (`core.speed.fit`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from localllm.core.fit.memory import CACHE_BYTES, cache_bytes_per_token

if TYPE_CHECKING:
    from localllm.core.fit import Placement
    from localllm.core.shape import ModelShape

Role = Literal["cpu", "gpu"]
ROLES: tuple[Role, ...] = ("cpu", "gpu")

WIDE = 7.5  # bits a weight: from here on files are read as 8 or 16 bits, not unpacked
# Bytes of weights worked off in a second, relative to Q4_K or, from 7.5 bits on, to Q8_0. CPU: one core with
# AVX512-VNNI, the same 250 million weights in each type, without repacked weights.
_RATES = {
    "Q2_K": 0.8, "Q3_K": 0.79, "Q4_0": 0.7, "Q4_1": 0.85, "Q5_0": 0.75, "Q5_1": 0.85, "Q5_K": 0.98,
    "Q6_K": 1.15, "IQ4_XS": 0.84, "IQ4_NL": 0.75, "MXFP4": 0.8, "IQ3": 0.55, "IQ2": 0.45, "IQ1": 0.45,
    "F16": 1.05, "BF16": 1.05,
}  # fmt: skip
_MIXTURE = {"Q4_K_M": 1.04, "Q3_K_L": 0.85, "Q3_K_M": 0.82}  # with tensors of more bits among them
# Operations of a prompt in a second, relative likewise: types without matrix kernels in llama.cpp are slow.
_PROMPT_RATES = {
    "Q4_0": 0.33,
    "Q4_1": 0.22,
    "Q5_0": 0.33,
    "Q5_1": 0.25,
    "Q5_K": 0.88,
    "Q6_K": 0.77,
    "F16": 0.85,
}
_SHORT_HEAD = 128  # elements
# from llama.cpp's tools/quantize/README.md: Q3_K_M reaches 0.81, Q2_K 0.71 of the rate of Q4_K_M
_EASY_BITS, _RATE_PER_BIT, _SLOWEST = 4.7, 0.2, 0.65


class Work(NamedTuple):
    """Quantities of one token on one device.

    A written token: layers, layers with experts, bytes of 8- and 16-bit weights, bytes of smaller ones, bytes
    of the cache. A token of the prompt: layers, and floating-point operations with experts' weights,
    with 8- and 16-bit weights, with smaller ones, and of attention.
    """

    layers: float = 0.0
    experts: float = 0.0
    wide: float = 0.0
    packed: float = 0.0
    cache: float = 0.0


@dataclass(frozen=True)
class TimedModel:
    """A model whose speed is asked for or was measured; `weights` in bytes, `quant` "Q4_K_M" or ""."""

    shape: ModelShape
    weights: int
    quant: str = ""

    @property
    def bits(self) -> float:
        """Bits per weight."""
        return 8 * self.weights / max(1, self.shape.parameters)

    @property
    def prompt_rate(self) -> float:
        """How fast its weights are used on a prompt, relative to Q4_K or Q8_0."""
        name = self.quant.upper().removeprefix("UD-")
        return next((rate for kind, rate in _PROMPT_RATES.items() if name.startswith(kind)), 1.0)

    @property
    def rate(self) -> float:
        """How fast its weights are worked off, relative to Q4_K or Q8_0."""
        name = self.quant.upper().removeprefix("UD-")
        if name in _MIXTURE:
            return _MIXTURE[name]
        for kind, rate in _RATES.items():
            if name.startswith(kind):
                return rate
        if self.quant or self.bits >= WIDE:
            return 1.0
        return min(1.0, max(_SLOWEST, 1 - _RATE_PER_BIT * (_EASY_BITS - self.bits)))


@dataclass(frozen=True)
class Place:
    """Which part of the model is where, and the types of its cache."""

    kind: str
    on_gpu: float  # share of the layers
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    experts_on_cpu: float = 0.0  # share of them that is there without its layer

    @classmethod
    def of(
        cls, placement: Placement, shape: ModelShape, kv_type_k: str = "f16", kv_type_v: str = "f16"
    ) -> Place:
        """Read a placement; llama.cpp counts the output as one layer more."""
        share = 0.0 if placement.kind == "cpu" else 1.0
        if placement.kind in ("partly_gpu", "experts_on_cpu"):
            share = min(1.0, max(0.0, (placement.gpu_layers - 1) / shape.layers))
        on_cpu = shape.layers - round(share * shape.layers)
        moved = shape.expert_share(placement.experts_layers_on_cpu) - shape.expert_share(on_cpu)
        alone = max(0.0, moved) if placement.kind == "experts_on_cpu" else 0.0
        return cls(placement.kind, share, kv_type_k, kv_type_v, alone)

    def share(self, role: Role) -> float:
        """Return the share of the layers on a device."""
        return self.on_gpu if role == "gpu" else 1 - self.on_gpu

    def share_of_experts(self, role: Role) -> float:
        """Return the share of the experts on a device."""
        alone = self.experts_on_cpu
        return self.share(role) + (alone if role == "cpu" else -alone)


def decode_work(model: TimedModel, place: Place, depth: float) -> dict[Role, Work]:
    """Return what writing one token takes when so many tokens are in the cache."""
    shape = model.shape
    per_weight = model.bits / 8 / model.rate
    experts = shape.expert_parameters * shape.experts_used / shape.experts if shape.experts else 0.0
    rest = shape.active_parameters - experts
    found: dict[Role, Work] = {}
    for role in ROLES:
        share = place.share(role)
        of_experts = place.share_of_experts(role)
        size = per_weight * (share * rest + of_experts * experts)
        found[role] = Work(
            layers=max(share * shape.layers, of_experts * shape.expert_layers),
            experts=of_experts * shape.expert_layers,
            wide=size if model.bits >= WIDE else 0.0,
            packed=size if model.bits < WIDE else 0.0,
            cache=share * cache_work(shape, place, depth, role),
        )
    return found


def cache_work(shape: ModelShape, place: Place, depth: float, role: Role) -> float:
    """Return the bytes of cache that a token reads, on a CPU times what each costs more than elsewhere.

    A GPU reads them once.
    """
    kinds = place.kv_type_k, place.kv_type_v
    heads, length = (1, shape.mla_width) if shape.mla_width else (shape.kv_heads, shape.key_length)
    size = _again(role, shape.heads, heads, length) * cache_bytes_per_token(shape, *kinds) * depth
    if shape.window_layers:
        heads, length = shape.window_kv_heads or shape.kv_heads, shape.window_head_length or shape.key_length
        cell = heads * length * (CACHE_BYTES[kinds[0]] + CACHE_BYTES[kinds[1]])
        window = shape.window_layers * min(depth, shape.sliding_window)
        size += _again(role, shape.heads, heads, length) * cell * window
    return size + state_work(shape)


def state_work(shape: ModelShape) -> float:
    """Return the bytes of recurrent layers' state that a token reads and writes."""
    return 8.0 * shape.recurrent_layers * shape.recurrent_state


def _again(role: Role, asking: int, kept: int, length: int) -> float:
    """Return how much more a CPU takes than for its bytes alone.

    It goes through the cache once for each head that asks, but finds much of it in its own caches: the time
    grows with the geometric mean of both numbers of heads, and heads of 64 take as long as those of 128
    (0.7 to 1.05 of that, measured for 9 to 32 heads over 2 to 8 at depths of 512 and 2048).
    """
    return math.sqrt(asking / kept) * max(1.0, _SHORT_HEAD / length) if role == "cpu" else 1.0


def prompt_work(model: TimedModel, place: Place, tokens: int, depth: float = 0.0) -> dict[Role, Work]:
    """Return what one token takes of a prompt of so many, read when `depth` tokens are in the cache."""
    shape = model.shape
    experts = shape.expert_parameters * shape.experts_used / shape.experts if shape.experts else 0.0
    rest = max(1.0, shape.active_parameters - shape.embedding_parameters - experts)
    seen = depth + tokens / 2
    full = shape.full_layers * seen + shape.window_layers * min(seen, shape.sliding_window)
    attention = 2 * shape.heads * (shape.key_length + shape.value_length) * full
    found: dict[Role, Work] = {}
    for role in ROLES:
        share = place.share(role)
        of_experts = place.share_of_experts(role)
        flops = 2 * (share * rest + of_experts * experts) / model.prompt_rate
        found[role] = Work(
            layers=share * shape.layers,
            experts=of_experts * 2 * experts,
            wide=flops if model.bits >= WIDE else 0.0,
            packed=flops if model.bits < WIDE else 0.0,
            cache=share * attention,
        )
    return found
