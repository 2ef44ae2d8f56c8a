"""How long a bench will take, by the predicted speeds, and the most that fits into half a minute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from localllm.core.bench.parameters import Parameters
from localllm.core.bench.plan import make_plan
from localllm.engine.protocol import LoadSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.core.bench.plan import BenchedModel
    from localllm.core.library import LibraryModel
    from localllm.core.session import ModelSession
    from localllm.engine.protocol import BenchTest

QUICK_SECONDS = 30.0
_KEPT = 0.8  # of the time is planned: predictions are wrong by so much
_BEFORE = 3.0  # seconds until the first model is being loaded
_LOADING = 1.5  # seconds of an engine that starts and a small model that is loaded
_DISK = 1e9  # bytes/s at which larger ones are
_CONTEXT = 512  # tokens with which speeds are asked for
_LADDER = (
    (512, 128, 5), (512, 128, 3), (256, 64, 3), (128, 32, 3), (64, 16, 3), (32, 8, 2), (16, 4, 2), (8, 2, 1),
)  # fmt: skip


@dataclass(frozen=True)
class Pace:
    """What is predicted of a model: tokens/s that it reads and writes, and the bytes that are loaded."""

    reading: float
    writing: float
    size: int


def predict_paces(session: ModelSession, models: Sequence[LibraryModel]) -> list[Pace] | None:
    """Return the pace of each model; None where one's cannot be predicted."""
    machine = session.probe_without_model()
    found: list[Pace] = []
    for model in models:
        estimate = session.estimate(model, LoadSettings(context_length=_CONTEXT), machine, exact=False)
        speed = estimate.speed if estimate is not None else None
        if speed is None or not speed.prompt_tokens_per_second:
            return None
        found.append(Pace(speed.prompt_tokens_per_second, speed.tokens_per_second, model.size))
    return found


def expected_seconds(wanted: Parameters, models: Sequence[BenchedModel], paces: Sequence[Pace]) -> float:
    """Return about how long a bench takes; that settings differ in speed is not known before."""
    total = _BEFORE
    for model, pace in zip(models, paces, strict=True):
        for configuration in make_plan([model], wanted, 1):
            total += _LOADING + pace.size / _DISK
            total += sum(wanted.delay + _seconds(test, pace) for test in configuration.tests)
    return total


def quick_parameters(
    paces: Sequence[Pace],
    models: Sequence[BenchedModel],
    seconds: float = QUICK_SECONDS,
    chosen: Mapping[str, Any] = MappingProxyType({}),
) -> Parameters:
    """Return the longest tests with which all of these models take no more than so long.

    `chosen` are values of `Parameters` that are to be as they are.
    """
    ways = [
        replace(Parameters((read,), (write,), repetitions=times), **chosen) for read, write, times in _LADDER
    ]
    room = _KEPT * seconds
    return next((way for way in ways if expected_seconds(way, models, paces) <= room), ways[-1])


def _seconds(test: BenchTest, pace: Pace) -> float:
    """Return what one to warm up, the cache that is filled, and all repetitions take."""
    read, written = test.prompt_tokens / pace.reading, test.generated_tokens / pace.writing
    filling = test.depth / pace.reading
    warm_up = read + (1 / pace.writing if written else 0.0)
    # the sequences are read one after the other, and written together
    return test.sequences * (warm_up + filling) + test.repetitions * (test.sequences * read + written)
