"""Depth pruning: whole layers are left out, those that change least what passes through them.

What counts is measured on a text: a layer's block influence, 1 less the mean cosine of its input and output
(ShortGPT, arXiv 2403.03853). Nothing is trained afterwards, so the loss is real: the result needs its report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.fit import FitSettings
from localllm.core.quantize.source import SAFE
from localllm.core.time_left import TimeLeft
from localllm.engine.passes import CHUNK_TOKENS, ChunkDone, PassStart, TextPass
from localllm.errors import QuantizationRefused, UsageError
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.engine_work import EngineWork
    from localllm.core.quantize.source import SourceModel
    from localllm.engine.client import Engine
    from localllm.engine.protocol import LoadSettings
    from localllm.progress import Progress

CHUNKS = 8  # of 512 tokens: the order of layers hardly changes with more
MOST_SHARE = 0.5  # of the layers
WARNING = text(
    "Leaving layers out loses more than quantizing does, and nothing was trained afterwards: "
    "measure the quality of the result before you rely on it."
)
# architectures whose layers are all alike: no attention window, expert or rotation that goes by their number
_ALIKE = frozenset(
    {"baichuan", "bitnet", "bloom", "command-r", "deepseek2", "ernie4_5", "exaone", "falcon", "gemma", "glm4",
     "gpt2", "gptneox", "granite", "internlm2", "llama", "mpt", "nemotron", "olmo", "olmo2", "orion", "phi2",
     "phi3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "seed_oss", "stablelm", "starcoder2"}
)  # fmt: skip
_WINDOW_IN_EVERY_LAYER = frozenset({"phi3"})
_BY_NUMBER = ("nextn_predict_layers", "attention.shared_kv_layers", "full_attention_interval")


@dataclass(frozen=True)
class LayerInfluence:
    """How much a layer changes what passes through it: 0 nothing, 1 everything."""

    layer: int
    influence: float


def parse_layers(words: str) -> tuple[int, ...] | int:
    """Read "3,5,8" as layers, counted from 0, and "auto:4" as a number of layers.

    Raises:
        UsageError: It is neither.
    """
    first, _, count = words.strip().partition(":")
    try:
        if first == "auto":
            number = int(count)
            if number > 0:
                return number
        else:
            layers = tuple(sorted({int(word) for word in words.split(",")}))
            if layers and layers[0] >= 0:
                return layers
    except ValueError:
        pass
    raise UsageError(
        text("“{words}” does not say which layers to leave out.", words=words[:80]),
        hint=text("Write their numbers, as in 20,21,22, or how many to choose, as in auto:3."),
    )


def check_prunable(source: SourceModel, count: int) -> None:
    """Refuse models that would not work without some of their layers.

    Raises:
        QuantizationRefused: The architecture's layers differ by number, or too many would be left out.
    """
    if not _layers_are_alike(source):
        raise QuantizationRefused(
            text(
                "The layers of this architecture ({name}) are not all alike: without some of them it would "
                "not work.",
                name=source.header.architecture,
            ),
            safe=SAFE,
            hint=text("Take a smaller quantization instead."),
        )
    if count > MOST_SHARE * source.layers:
        raise QuantizationRefused(
            text(
                "{count} of {layers} layers are too many: more than half of the model would be gone.",
                count=count,
                layers=source.layers,
            ),
            safe=SAFE,
            hint=text("Leave out a quarter at most."),
        )


def check_layers(source: SourceModel, layers: tuple[int, ...]) -> None:
    """Refuse layers that the model does not have, or that cannot be left out.

    Raises:
        QuantizationRefused: As `check_prunable`, or one of them stands among dense layers at the beginning.
        UsageError: There is no such layer.
    """
    check_prunable(source, len(layers))
    if layers[-1] >= source.layers:
        raise UsageError(
            text(
                "There is no layer {layer}: “{name}” has the layers 0 to {last}.",
                layer=layers[-1],
                name=source.name,
                last=source.layers - 1,
            )
        )
    if layers[0] < _dense_at_first(source):
        raise QuantizationRefused(
            text("Layer {layer} cannot be left out: it is built otherwise than the rest.", layer=layers[0]),
            safe=SAFE,
        )


def measure_influence(
    work: EngineWork, source: SourceModel, content: str, progress: Progress
) -> tuple[LayerInfluence, ...]:
    """Return the influence of every layer, the smallest first.

    Args:
        work: Loads the model.
        source: The model.
        content: A text of some pages; 8 × 512 tokens of it are read.
        progress: Gets chunks; cancels.

    Raises:
        EngineError: The model cannot be loaded, or its layers cannot be observed.
        UsageError: The text is too short.
        Cancelled: Through `progress`.
    """
    note = text("Measuring what each layer does…")

    def measure(engine: Engine, settings: LoadSettings) -> tuple[LayerInfluence, ...]:
        found: tuple[float, ...] = ()
        total, left = CHUNKS, TimeLeft()
        wanted = TextPass(content, chunks=CHUNKS)
        for event in engine.measure_influence(source.path, settings, wanted, progress):
            if isinstance(event, PassStart):
                total = event.chunks
            elif isinstance(event, ChunkDone):
                done = event.number + 1
                progress.update(done, total, left.after(done, total, note))
            else:
                found = event
        layers = (LayerInfluence(layer, value) for layer, value in enumerate(found))
        return tuple(sorted(layers, key=lambda one: one.influence))

    fit = FitSettings(CHUNK_TOKENS, batch=CHUNK_TOKENS, outputs_max=0)
    return work.run(work.plan(source.path, fit), measure, progress)


def choose_layers(source: SourceModel, ranked: tuple[LayerInfluence, ...], count: int) -> tuple[int, ...]:
    """Return the layers to leave out, ascending; never the first, the last, or dense ones before experts."""
    first, last = max(1, _dense_at_first(source)), source.layers - 1
    free = [one.layer for one in ranked if first <= one.layer < last]
    return tuple(sorted(free[:count]))


def _layers_are_alike(source: SourceModel) -> bool:
    header = source.header
    if header.architecture not in _ALIKE or any(header.of_architecture(key) for key in _BY_NUMBER):
        return False
    window = header.of_architecture("attention.sliding_window")
    if window and header.architecture not in _WINDOW_IN_EVERY_LAYER:
        return False
    own = f"{header.architecture}."
    return not any(
        name.startswith(own) and array.count >= source.layers for name, array in header.arrays.items()
    )


def _dense_at_first(source: SourceModel) -> int:
    count = source.header.of_architecture("leading_dense_block_count")
    return count if isinstance(count, int) else 0
