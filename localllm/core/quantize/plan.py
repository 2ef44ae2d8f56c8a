"""What a quantization will give, before anything is written: llama.cpp's own dry run, tensor by tensor.

The mixtures depend on the number of layers, on heads, experts and the importance matrix, and rows that do not
divide by a type's block fall back to another one: a table cannot say it, the dry run does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from localllm.core.quantize.layout import result_size
from localllm.core.quantize.source import SAFE
from localllm.core.quantize.tensors import PlannedTensor
from localllm.core.quantize.threads import usable_threads
from localllm.core.quantize.types import NEED_IMATRIX, PLAIN_TYPES, TENSOR_NUMBERS
from localllm.engine.protocol import Quantize
from localllm.errors import QuantizationRefused
from localllm.texts import plural, text

if TYPE_CHECKING:
    from localllm.core.quantize.importance import Importance
    from localllm.core.quantize.source import SourceModel
    from localllm.core.quantize.types import QuantType
    from localllm.engine.client import Engine
    from localllm.engine.protocol import ImportanceData, TensorStep
    from localllm.progress import Progress

_LAYER = re.compile(r"blk\.(\d+)\.")
_OUTSIDE = ("token_embd.weight", "per_layer_token_embd.weight", "output.weight")


@dataclass(frozen=True)
class Wish:
    """What somebody wants of a model.

    Attributes:
        importance: The matrix, and how the result's header names it.
        tensor_types: Pattern and tensor type; the first pattern that occurs in a name counts.
        output_type: Tensor type of the output matrix, "" as the mixture has it; likewise `embedding_type`.
        prune_layers: Layers to leave out, ascending.
        keep_split: One file for each file of the source.
        threads: 0 = as many as this process may really use.
    """

    type: QuantType
    threads: int = 0
    importance: Importance | None = None
    importance_label: str = ""
    tensor_types: tuple[tuple[str, str], ...] = ()
    output_type: str = ""
    embedding_type: str = ""
    prune_layers: tuple[int, ...] = ()
    allow_requantize: bool = False
    leave_output: bool = False
    pure: bool = False
    keep_split: bool = False

    def settings(self, source: SourceModel, data: ImportanceData | None, *, dry_run: bool) -> Quantize:
        """Return what the engine is asked for."""
        header = source.header
        return Quantize(
            file_type=self.type.number,
            threads=self.threads or usable_threads(),
            allow_requantize=self.allow_requantize,
            leave_output=self.leave_output,
            pure=self.pure,
            keep_split=self.keep_split and len(source.headers) > 1,
            only_copy=self.type.copies,
            dry_run=dry_run,
            output_type=TENSOR_NUMBERS.get(self.output_type, -1),
            embedding_type=TENSOR_NUMBERS.get(self.embedding_type, -1),
            tensor_types=tuple((pattern, TENSOR_NUMBERS[kind]) for pattern, kind in self.tensor_types),
            prune_layers=self.prune_layers,
            importance=data,
            alignment=32 if header.alignment != 32 else 0,
        )


@dataclass(frozen=True)
class QuantizePlan:
    """What a quantization will give.

    Attributes:
        size: Bytes of the file, or of all files, exactly.
        lacking: Tensors whose type needs an importance matrix, and of which there is none.
    """

    source: SourceModel
    wish: Wish
    tensors: tuple[PlannedTensor, ...]
    size: int
    lacking: tuple[str, ...]

    @cached_property
    def weights(self) -> int:
        """Number of weights."""
        return sum(tensor.weights for tensor in self.tensors)

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight, what is not quantized counted too."""
        return 8 * self.weight_bytes / self.weights if self.weights else 0.0

    @property
    def fallbacks(self) -> tuple[PlannedTensor, ...]:
        """Tensors whose rows do not divide by the block of the type that they should have had."""
        return tuple(tensor for tensor in self.tensors if tensor.wanted)

    @property
    def requantized(self) -> tuple[PlannedTensor, ...]:
        """Tensors that are quantized already and would be once more."""
        return tuple(one for one in self.tensors if one.changes and one.source_type not in PLAIN_TYPES)

    @property
    def types(self) -> dict[str, tuple[int, int]]:
        """Number of tensors and bytes of each type, the largest share first."""
        found: dict[str, tuple[int, int]] = {}
        for tensor in self.tensors:
            count, size = found.get(tensor.type_name, (0, 0))
            found[tensor.type_name] = (count + 1, size + tensor.size)
        return dict(sorted(found.items(), key=lambda item: -item[1][1]))

    def check(self) -> None:
        """Refuse what llama.cpp would refuse half way.

        Raises:
            QuantizationRefused: It needs an importance matrix, or the source is quantized already.
        """
        if self.lacking:
            raise QuantizationRefused(
                plural(
                    len(self.lacking),
                    "{type} needs an importance matrix, and there is none for one tensor ({name}).",
                    "{type} needs an importance matrix, and there is none for {count} tensors ({name}, …).",
                    type=self.wish.type.name,
                    name=self.lacking[0],
                ),
                safe=SAFE,
                hint=text("Make one with “localllm imatrix MODEL”, or let it be made with --imatrix auto."),
            )
        if self.requantized and not self.wish.allow_requantize:
            raise QuantizationRefused(
                text(
                    "“{name}” is quantized already, and quantizing it again loses more than once.",
                    name=self.source.name,
                ),
                safe=SAFE,
                hint=text("Take the 16-bit model, or allow it with --allow-requantize."),
            )


def make_plan(
    engine: Engine, source: SourceModel, wish: Wish, data: ImportanceData | None, progress: Progress
) -> QuantizePlan:
    """Ask llama.cpp what it would do.

    Raises:
        QuantizationRefused: It refuses the file or the settings.
        Cancelled: Through `progress`.
    """
    target = source.path.with_name("dry-run")  # nothing is written there
    steps = list(engine.quantize(source.path, target, wish.settings(source, data, dry_run=True), progress))
    tensors = _planned(source, wish, steps)
    size = result_size(source, wish.settings(source, data, dry_run=True), tensors)
    return QuantizePlan(source, wish, tensors, size, tuple(_lacking(wish, tensors)))


def _planned(source: SourceModel, wish: Wish, steps: list[TensorStep]) -> tuple[PlannedTensor, ...]:
    kept = [layer for layer in range(source.layers) if layer not in wish.prune_layers]
    infos = {info.name: (part, info) for part, one in enumerate(source.headers) for info in one.tensors}
    planned: list[PlannedTensor] = []
    for step in steps:
        name = _old_name(step.name, kept) if wish.prune_layers else step.name
        part, info = infos[name]
        planned.append(
            PlannedTensor(step.name, name, info.shape, info.type_name, step.type_name, step.wanted, part)
        )
    return tuple(planned)


def _old_name(name: str, kept: list[int]) -> str:
    return _LAYER.sub(lambda found: f"blk.{kept[int(found[1])]}.", name, count=1)


def _lacking(wish: Wish, tensors: tuple[PlannedTensor, ...]) -> list[str]:
    """Return the tensors for which llama.cpp wants an importance matrix and has none."""
    needing = {*NEED_IMATRIX, "Q2_K"} if wish.type.name == "Q2_K_S" else NEED_IMATRIX
    known = set(wish.importance.entries) if wish.importance is not None else set[str]()
    return [
        tensor.name
        for tensor in tensors
        if tensor.changes
        and tensor.type_name in needing
        and tensor.name not in _OUTSIDE
        and tensor.source_name not in known
    ]
