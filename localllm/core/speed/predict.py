"""The speed of one model with one placement: tokens per second with an interval, and where they come from."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from localllm.core.speed.fits import SpeedFits, joined
from localllm.core.speed.table import UPLOAD, table_speed
from localllm.core.speed.work import Place, TimedModel, decode_work, prompt_work
from localllm.texts import Number, Text, text

if TYPE_CHECKING:
    from localllm.core.fit import FitSettings, Placement
    from localllm.core.machine import Machine
    from localllm.core.shape import ModelShape

# here: this very model with these settings, at this depth or another one; other models; nothing
Basis = Literal["measured", "carried", "calibrated", "table"]
Calibration = SpeedFits
PROMPT_TOKENS = 512
_SAME_DEPTH = math.log(1.1)  # a token takes as long there, by so much
_DEEPEST = 2**26  # tokens


@dataclass(frozen=True)
class SpeedEstimate:
    """Tokens per second of the answer with an interval, and of reading the prompt.

    `measured_depth` is how many tokens the context held in the measurement that this is "carried" from.
    """

    tokens_per_second: float
    low: float
    high: float
    basis: Basis
    prompt_tokens_per_second: float | None = None
    measured_depth: int | None = None

    @property
    def source(self) -> Text:
        """What it rests on, in a few words."""
        sources: dict[Basis, Text] = {
            "table": text("estimated from tables"),
            "calibrated": text("from other models measured on this computer"),
            "carried": text(
                "estimated from a measurement here with {tokens} tokens in the context",
                tokens=Number(self.measured_depth or 0),
            ),
            "measured": text("measured on this computer"),
        }
        return sources[self.basis]


def predict_speed(  # noqa: PLR0913 - the last two are keywords for callers who know the file
    machine: Machine,
    shape: ModelShape,
    weights: int,
    placement: Placement,
    settings: FitSettings,
    fits: SpeedFits | None = None,
    *,
    quant: str = "",
    measured: str | None = None,
) -> SpeedEstimate:
    """Predict the speed of one answer at a time.

    Args:
        machine: The computer.
        shape: The model's dimensions.
        weights: Bytes of its tensors.
        placement: Where they are.
        settings: The context; a quarter of it is taken to be filled: the mean of a chat that fills half.
        fits: What was measured on this computer.
        quant: The file type, "Q4_K_M".
        measured: The key (`history.key_of`) under which this model may have been measured.
    """
    seconds, prompt_seconds, spread = table_speed(machine, shape, weights, placement, settings)
    by_table = SpeedEstimate(
        1 / seconds, (1 - spread) / seconds, (1 + spread) / seconds, "table", 1 / prompt_seconds
    )
    if fits is None:
        return by_table
    model = TimedModel(shape, weights, quant)
    place = Place.of(placement, shape, settings.kv_type_k, settings.kv_type_v)
    depth = settings.context_length / (4 * settings.sequences)
    return _from_fits(model, place, depth, fits, measured) or by_table


def _from_fits(
    model: TimedModel, place: Place, depth: float, fits: SpeedFits, measured: str | None
) -> SpeedEstimate | None:
    work = decode_work(model, place, depth)
    if not fits.writing.covers(work):
        return None
    quantities = joined(work)
    prompt_seconds = _prompt_seconds(model, place, fits, measured)
    own = fits.writing.corrections.get(measured) if measured else None
    if own is None:
        seconds, width = fits.writing.seconds(quantities), fits.writing.width(quantities)
        return _estimate(seconds, width, "calibrated", prompt_seconds)
    seconds, nearest = own.seconds(quantities), own.nearest(quantities)
    width = fits.writing.width_from(own, quantities, nearest)
    if abs(math.log(seconds / own.seconds(nearest))) <= _SAME_DEPTH:
        return _estimate(seconds, width, "measured", prompt_seconds)
    found = _estimate(seconds, width, "carried", prompt_seconds)
    return replace(found, measured_depth=_depth_of(model, place, nearest))


def _estimate(seconds: float, width: float, basis: Basis, prompt_seconds: float) -> SpeedEstimate:
    low, high = math.exp(-width) / seconds, math.exp(width) / seconds
    return SpeedEstimate(1 / seconds, low, high, basis, 1 / prompt_seconds)


def _depth_of(model: TimedModel, place: Place, quantities: tuple[float, ...]) -> int:
    """Return how many tokens were in the cache when a token took so much."""
    wanted = sum(quantities)
    return bisect.bisect_left(
        range(_DEEPEST), wanted - 0.5, key=lambda depth: sum(joined(decode_work(model, place, depth)))
    )


def _prompt_seconds(model: TimedModel, place: Place, fits: SpeedFits, measured: str | None) -> float:
    """Return seconds for a token of a prompt.

    Weights in main memory are worked on there, or copied to the GPU for each batch, whichever is quicker:
    llama.cpp copies for 32 tokens and more.
    """
    own = fits.reading.corrections.get(measured) if measured else None
    reading = own or fits.reading
    seconds = reading.seconds(joined(prompt_work(model, place, PROMPT_TOKENS)))
    if place.kind not in ("partly_gpu", "experts_on_cpu"):
        return seconds
    shape = model.shape
    on_host = 1 - place.on_gpu + place.experts_on_cpu * shape.expert_parameters / shape.parameters
    all_on_gpu = replace(place, kind="gpu", on_gpu=1.0, experts_on_cpu=0.0)
    copied = on_host * model.weights / (PROMPT_TOKENS * UPLOAD)
    return min(seconds, copied + reading.seconds(joined(prompt_work(model, all_on_gpu, PROMPT_TOKENS))))
