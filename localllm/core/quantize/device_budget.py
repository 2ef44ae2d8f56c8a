"""How large a model's tensors may be so that it runs where it should, with a context of a given length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.estimate.subject import subject_of_file
from localllm.core.fit import FITS_NOW, Placing, budgets_of, place_as, place_within
from localllm.core.quantize.source import SAFE
from localllm.errors import NeedsHeader, QuantizationRefused
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.fit import Budgets, FitSettings
    from localllm.core.machine import Machine
    from localllm.core.quantize.source import SourceModel
    from localllm.core.shape import ModelShape

_STEP = 1 << 20  # bytes; finer than the estimate is


def device_budget(machine: Machine, source: SourceModel, settings: FitSettings) -> int:
    """Return the bytes that the file may have to run wholly on the GPU, without one in main memory.

    Args:
        machine: The computer at this moment; what other programs use is not counted as free.
        source: The model; only its dimensions matter.
        settings: The context.

    Raises:
        NeedsHeader: There is no formula for this architecture.
        QuantizationRefused: The context alone takes more than there is.
    """
    subject = subject_of_file(source.path)
    if subject.shape is None:
        raise NeedsHeader(
            text("For the architecture of “{name}” there is no formula of its memory.", name=source.name),
            hint=text("Give a size instead."),
        )
    budgets = budgets_of(machine)
    weights = _largest(budgets, subject.shape, settings, sum(header.file_size for header in source.headers))
    if weights <= 0:
        raise QuantizationRefused(
            text(
                "A context of {tokens} tokens alone takes more memory than there is.",
                tokens=settings.context_length,
            ),
            safe=SAFE,
            hint=text("Take a shorter context, or close other programs."),
        )
    return weights + source.header.data_offset


def _largest(budgets: Budgets, shape: ModelShape, settings: FitSettings, most: int) -> int:
    """Return the largest bytes of weights, in whole steps, that fit now; -1 if none do."""
    low, high = -1, -(-most // _STEP) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _fits(budgets, shape, middle * _STEP, settings):
            low = middle
        else:
            high = middle
    return low * _STEP


def _fits(budgets: Budgets, shape: ModelShape, weights: int, settings: FitSettings) -> bool:
    if budgets.gpus:
        whole = Placing(shape.layers + 1)
        placement, _memory, verdict = place_as(budgets, shape, weights, settings, whole)
        return verdict in FITS_NOW and placement.kind in ("gpu", "unified")
    _placement, _memory, verdict = place_within(budgets, shape, weights, settings)
    return verdict in FITS_NOW
