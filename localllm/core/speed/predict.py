"""The speed of one model with one placement: tokens per second with an interval, and where they come from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from localllm.core.speed.fits import SpeedFits
from localllm.core.speed.table import UPLOAD, table_speed
from localllm.core.speed.work import Place, TimedModel, decode_work, prompt_work
from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.core.fit import FitSettings, Placement
    from localllm.core.machine import Machine
    from localllm.core.shape import ModelShape

# measured: this very model with these settings, here; calibrated: other models, here
Basis = Literal["measured", "calibrated", "table"]
Calibration = SpeedFits
PROMPT_TOKENS = 512
BASES: dict[Basis, Text] = {
    "table": text("estimated from tables"),
    "calibrated": text("from a calibration on this computer"),
    "measured": text("measured on this computer"),
}


@dataclass(frozen=True)
class SpeedEstimate:
    """Tokens per second of the answer with an interval, and of reading the prompt."""

    tokens_per_second: float
    low: float
    high: float
    basis: Basis
    prompt_tokens_per_second: float | None = None


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
    seconds, width = fits.writing.seconds(work), fits.writing.half_width
    basis: Basis = "calibrated"
    if measured and measured in fits.writing.corrections:
        factor, width = fits.writing.corrections[measured]
        seconds, basis = seconds * factor, "measured"
    prompt_seconds = _prompt_seconds(model, place, fits)
    if measured and measured in fits.reading.corrections:
        prompt_seconds *= fits.reading.corrections[measured][0]
    speed = 1 / seconds
    return SpeedEstimate(speed, speed * math.exp(-width), speed * math.exp(width), basis, 1 / prompt_seconds)


def _prompt_seconds(model: TimedModel, place: Place, fits: SpeedFits) -> float:
    """Return seconds for a token of a prompt.

    Weights in main memory are worked on there, or copied to the GPU for each batch, whichever is quicker:
    llama.cpp copies for 32 tokens and more.
    """
    seconds = fits.reading.seconds(prompt_work(model, place, PROMPT_TOKENS))
    if place.kind not in ("partly_gpu", "experts_on_cpu"):
        return seconds
    shape = model.shape
    on_host = (
        shape.expert_parameters / shape.parameters if place.kind == "experts_on_cpu" else 1 - place.on_gpu
    )
    all_on_gpu = replace(place, kind="gpu", on_gpu=1.0)
    copied = on_host * model.weights / (PROMPT_TOKENS * UPLOAD)
    return min(seconds, copied + fits.reading.seconds(prompt_work(model, all_on_gpu, PROMPT_TOKENS)))
