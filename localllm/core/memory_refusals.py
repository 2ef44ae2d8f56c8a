"""What is said when a model does not fit into the memory that is free now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.errors import NotEnoughMemory
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    from localllm.core.estimate import Estimate

_NEEDS = "“{name}” needs about {need}, and {have} are free now."


def refuse_load(name: str, answer: Estimate) -> NotEnoughMemory:
    """Return the refusal to load a model of this name, which can be loaded anyway."""
    if answer.short_of_gpu:
        need, have = answer.placement.gpu_bytes, answer.budgets.gpu.now
        words = text(
            "“{name}” needs about {need} of the GPU's memory with so many layers, and {have} are free.",
            name=name,
            need=Bytes(need),
            have=Bytes(have),
        )
        hint = text("Put fewer layers on the GPU, close other programs, or load it anyway.")
        return NotEnoughMemory(words, need=need, have=have, hint=hint)
    need, have = answer.memory.total, answer.available
    hint = text(
        "Close other programs, take a smaller context length or a smaller quantization, or load it anyway."
    )
    return NotEnoughMemory(
        text(_NEEDS, name=name, need=Bytes(need), have=Bytes(have)), need=need, have=have, hint=hint
    )


def refuse_work(answer: Estimate) -> NotEnoughMemory:
    """Return the refusal of a piece of work with a model."""
    need, have = answer.memory.total, answer.available
    if answer.short_of_gpu:
        need, have = answer.placement.gpu_bytes, answer.budgets.gpu.now
    return NotEnoughMemory(
        text(_NEEDS, name=answer.subject.name, need=Bytes(need), have=Bytes(have)),
        need=need,
        have=have,
        hint=text("Close other programs, or take a smaller model."),
    )
