"""What a conversion will make, and what it made, for people and for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localllm.texts import Text, plural, text

if TYPE_CHECKING:
    from localllm.core.convert.checkpoint import Checkpoint
    from localllm.core.convert.conversion import Ready


@dataclass(frozen=True)
class Preview:
    """A file as it will be.

    Attributes:
        architecture: llama.cpp's name for it.
        model_class: config.json's.
        output_type: What most weights become: "F16".
        size: Bytes of the file.
        source_size: Bytes of the checkpoint's weights.
        fallbacks: Tensors that become F16 because their rows do not divide into blocks of the type.
        code: Programs of the repository, and `auto_map`, that were left alone.
        quantization: How the checkpoint's weights were quantized, "" if they were not.
    """

    architecture: str
    model_class: str
    output_type: str
    size: int
    source_size: int
    tensors: int
    fallbacks: tuple[str, ...] = field(default=(), metadata={"of": None})
    code: tuple[str, ...] = field(default=(), metadata={"of": None})
    quantization: str = ""

    def fallbacks_said(self) -> list[Text]:
        """Return the sentence on tensors that cannot have the type, if there are any."""
        if not self.fallbacks:
            return []
        return [
            plural(
                len(self.fallbacks),
                "{count} tensor is stored as F16: its rows do not divide into blocks of {type}.",
                "{count} tensors are stored as F16: their rows do not divide into blocks of {type}.",
                type=self.output_type,
            )
        ]


@dataclass(frozen=True)
class Report:
    """What was made.

    Attributes:
        overflows: How many weights became infinite in F16, by tensor.
        notes: What was found in the checkpoint's small files that a person should know.
        seconds: From the first look at the checkpoint to the file under its name.
    """

    path: str
    preview: Preview
    overflows: dict[str, int]
    notes: tuple[Text, ...]
    seconds: float

    def sentences(self) -> list[Text]:
        """Return what a person should know of it beyond its name."""
        made = self.preview
        said = list(self.notes)
        if made.quantization:
            said.append(
                text("The weights were quantized ({method}); they were restored.", method=made.quantization)
            )
        if made.code:
            said.append(
                text("The repository's own program ({file}) was not run.", file=", ".join(made.code[:3]))
            )
        if self.overflows:
            said.append(
                plural(
                    sum(self.overflows.values()),
                    "{count} weight is too large for F16 and became infinite. Convert to BF16 instead.",
                    "{count} weights are too large for F16 and became infinite. Convert to BF16 instead.",
                )
            )
        return [*said, *made.fallbacks_said()]


def preview_of(ready: Ready, checkpoint: Checkpoint) -> Preview:
    """Describe a file that only has to be written."""
    plan = ready.plan
    return Preview(
        architecture=plan.architecture.name,
        model_class=plan.origin.config.architecture,
        output_type=plan.output_type,
        size=ready.size,
        source_size=checkpoint.size,
        tensors=len(plan.tensors),
        fallbacks=tuple(planned.place.name for planned in plan.tensors if planned.fell_back),
        code=checkpoint.code,
        quantization=plan.quantization,
    )
