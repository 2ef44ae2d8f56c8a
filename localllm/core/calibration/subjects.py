"""What is measured: shapes that each bring out one quantity of `core.speed.work`, as large as time allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.calibration.synthetic import SyntheticModel
from localllm.core.shape import ModelShape
from localllm.engine.protocol import BenchTest

if TYPE_CHECKING:
    from localllm.core.speed.work import Role

_REPETITIONS = 3
_PROMPT_REPETITIONS = {"cpu": 2, "gpu": 4}  # on a GPU the first is slow: the kernels are recorded in it
_WRITING_SECONDS, _READING_SECONDS = 0.18, 0.25  # of one repetition
_MOST_TOKENS = {"cpu": 24, "gpu": 128}
_PROMPTS = {"cpu": (32, 128), "gpu": (512, 512)}  # tokens, fewest and most
_DEPTH, _LONG_PROMPT = {"cpu": 2048, "gpu": 8192}, {"cpu": 1024, "gpu": 4096}
_AT_DEPTH = {"cpu": 16, "gpu": 256}  # tokens; on a GPU the first two after a prompt are slow
_SIZES = {"cpu": (2**25, 2**28), "gpu": (2**27, 2**31)}  # bytes of a dense model
_TOKEN_SECONDS = 0.025  # of a dense model on the CPU


@dataclass(frozen=True)
class Pace:
    """What the first measurement says of a device: bytes/s of weights, and tokens/s × weights of a prompt."""

    bytes_per_second: float
    weights_per_second: float


@dataclass(frozen=True)
class Trial:
    """One model to measure and the tests to do."""

    name: str
    model: SyntheticModel
    tests: tuple[BenchTest, ...]


def first_tests(role: Role) -> tuple[BenchTest, ...]:
    """Return the tests of the starter model: it has many layers and few weights."""
    tokens = 16 if role == "cpu" else 64
    prompt = BenchTest(_PROMPTS[role][1], 0, 0, _PROMPT_REPETITIONS[role])
    return BenchTest(0, tokens, 0, _REPETITIONS), prompt


def trials(role: Role, pace: Pace, room: int) -> tuple[Trial, ...]:
    """Return what to measure besides the starter model.

    Args:
        role: The device.
        pace: What the starter model showed.
        room: Free bytes of its memory.
    """
    least, most = _SIZES[role]
    size = min(most, room // 4)
    if role == "cpu":
        size = min(size, int(_TOKEN_SECONDS * pace.bytes_per_second))
    size = max(least, size)
    small, wide = (dense(quant, size, role) for quant in ("Q4_K_M", "Q8_0"))
    return (
        Trial("dense Q4_K_M", small, _tests(role, small, pace)),
        Trial("dense Q8_0", wide, _tests(role, wide, pace)),
        Trial("experts Q4_K_M", experts(role), _tests(role, experts(role), pace)),
        Trial(
            "attention",
            attention(role),
            (
                BenchTest(0, _AT_DEPTH[role], _DEPTH[role], _REPETITIONS),
                BenchTest(_LONG_PROMPT[role], 0, 0, 1),
            ),
        ),
    )


def _tests(role: Role, model: SyntheticModel, pace: Pace) -> tuple[BenchTest, ...]:
    active = max(1, model.shape.active_parameters)
    size = model.weight_bytes * active / model.shape.parameters
    written = int(min(_MOST_TOKENS[role], max(4.0, _WRITING_SECONDS * pace.bytes_per_second / size)))
    fewest, most = _PROMPTS[role]
    read = int(min(most, max(fewest, _READING_SECONDS * pace.weights_per_second / active))) // 32 * 32
    return BenchTest(0, written, 0, _REPETITIONS), BenchTest(read, 0, 0, _PROMPT_REPETITIONS[role])


def dense(quant: str, size: int, role: Role = "cpu") -> SyntheticModel:
    """Return few wide layers of about so many bytes: the weights decide."""
    width, wide = (2048, 5632) if role == "cpu" else (4096, 14336)
    one = SyntheticModel(llama(1, width, wide, 16), quant).weight_bytes
    two = SyntheticModel(llama(2, width, wide, 16), quant).weight_bytes
    layers = max(1, round((size - one) / (two - one)) + 1)
    return SyntheticModel(llama(layers, width, wide, 16), quant)


def experts(role: Role) -> SyntheticModel:
    """Return layers with 16 experts of which 4 are used."""
    return SyntheticModel(llama(8 if role == "cpu" else 24, 1024, 512, 8, experts=16), "Q4_K_M")


def attention(role: Role) -> SyntheticModel:
    """Return layers that are hardly more than their cache.

    Many on a GPU, where what each token takes besides its layers would otherwise count as attention.
    """
    return SyntheticModel(llama(2 if role == "cpu" else 24, 512, 512, 16, vocabulary=512), "Q8_0")


def llama(
    layers: int, width: int, wide: int, heads: int, *, experts: int = 0, vocabulary: int = 8192
) -> ModelShape:
    """Return a shape with heads of 128, two of which share a key; 4 of the experts are used."""
    return ModelShape(
        architecture="llama",
        layers=layers,
        embedding_width=width,
        heads=heads,
        kv_heads=heads // 2,
        key_length=128,
        value_length=128,
        feed_forward=0 if experts else wide,
        vocabulary=vocabulary,
        trained_context=32768,
        dense_layers=0 if experts else layers,
        full_layers=layers,
        tied_embeddings=True,
        experts=experts,
        experts_used=4 if experts else 0,
        expert_feed_forward=wide if experts else 0,
        expert_layers=layers if experts else 0,
    )
