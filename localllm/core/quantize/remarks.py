"""What a person should know of a plan besides its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.quantize.pruning import WARNING
from localllm.texts import Bytes, Text, plural, text

if TYPE_CHECKING:
    from localllm.core.quantize.fit_to_size import FittedPlan
    from localllm.core.quantize.plan import QuantizePlan


def remarks(plan: QuantizePlan, fitted: FittedPlan | None) -> list[Text]:
    """Return a sentence for each thing that is not as one might think."""
    found: list[Text] = []
    if fitted is not None:
        found.append(text("It has to fit into {budget}.", budget=Bytes(fitted.budget)))
        raised = ", ".join(f"{role} {old} → {new} ({n})" for (role, old, new), n in fitted.raised.items())
        if raised:
            found.append(text("What was left went into better types: {changes}.", changes=raised))
    if plan.fallbacks:
        found.append(_fallen_back(plan))
    if plan.requantized and plan.wish.allow_requantize:
        found.append(text("The model is quantized already: this loses more than from 16 bits."))
    if plan.wish.prune_layers:
        layers = ", ".join(map(str, plan.wish.prune_layers))
        found.append(text("Left out: layers {layers} of {count}.", layers=layers, count=plan.source.layers))
        found.append(WARNING)
    return found


def _fallen_back(plan: QuantizePlan) -> Text:
    changes: dict[tuple[str, str], int] = {}
    for tensor in plan.fallbacks:
        key = (tensor.wanted, tensor.type_name)
        changes[key] = changes.get(key, 0) + 1
    return plural(
        len(plan.fallbacks),
        "One tensor has rows that do not divide into blocks of its type: {changes}.",
        "{count} tensors have rows that do not divide into blocks of their type: {changes}.",
        changes=", ".join(f"{old} → {new} ({count})" for (old, new), count in changes.items()),
    )
