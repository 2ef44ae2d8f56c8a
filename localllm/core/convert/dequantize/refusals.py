"""Why a quantized checkpoint is not converted, in sentences for people."""

from __future__ import annotations

from localllm.errors import CheckpointRefused
from localllm.texts import text


def not_covered(method: str) -> CheckpointRefused:
    """Make the error for a way of quantizing that cannot be read; `method` names it and its variant."""
    printable = "".join(letter for letter in method if letter.isprintable())
    return CheckpointRefused(
        text("The weights are quantized with {method}, which cannot be read yet.", method=printable[:60]),
        hint=text("Choose the model's unquantized repository on the Hub, or a GGUF of it."),
    )


def misfit(name: str, detail: str) -> CheckpointRefused:
    """Make the error for a weight whose tensors contradict each other."""
    return CheckpointRefused(
        text("The parts of the quantized weight “{name}” do not fit together.", name=name),
        hint=text("Download it again; if it stays so, tell its publisher."),
        detail=detail,
    )
