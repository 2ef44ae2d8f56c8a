"""What the Quality tab asks and does in jobs; nothing here touches a widget.

`core.evaluate` loads numpy, so it is imported where it is used: in a job first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.texts import Number, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.core.evaluate import Evaluation, EvaluationWish, Group
    from localllm.core.imatrix import MeasuringText
    from localllm.core.library import LibraryModel
    from localllm.paths import Paths
    from localllm.progress import Progress
    from localllm.texts import Text

_SAME_SIZE = 0.005  # by so much the number of weights may differ within a family
_LARGEST_PRUNED = 2.0  # times the weights of a model from which layers were taken


@dataclass(frozen=True)
class Asked:
    """One measurement.

    Attributes:
        text: A file; None = LocalLLM's own text.
        chunks: 0 = all of the text.
    """

    model: LibraryModel
    base: LibraryModel | None
    text: Path | None
    chunks: int
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    anyway: bool = False


@dataclass(frozen=True)
class Findings:
    """All that was measured.

    Attributes:
        here: Paths of measured models that are still on this disk.
        kept: Bytes of predictions that are kept of references.
    """

    groups: list[Group]
    here: frozenset[str]
    kept: int


def load_numpy() -> None:
    """Import what takes its time, before the window needs it."""
    import localllm.core.evaluate  # pyright: ignore[reportUnusedImport] # noqa: F401


def find_results(paths: Paths) -> Findings:
    """Read what was measured before."""
    from localllm.core.evaluate import References, Results, group_results

    groups = group_results(Results(paths.evaluations_file).all())
    measured = {row.model.path for group in groups for row in group.rows}
    here = frozenset(path for path in measured if os.path.isfile(path))  # noqa: PTH113 - many, in a loop
    return Findings(groups, here, References(paths.references_folder).size())


def references_of(model: LibraryModel, models: Sequence[LibraryModel]) -> list[LibraryModel]:
    """Return what a model may have been made from, the likeliest first: the same weights with more bits.

    A model from which layers were taken has fewer weights than its parent, and its name begins alike.
    """
    others = [other for other in models if other.path != model.path and _may_be_parent(other, model)]
    return sorted(others, key=lambda other: _rank(other, model))


def find_need(paths: Paths, base: LibraryModel, text: Path | None, chunks: int) -> int:
    """Return the bytes that comparing with a reference takes on the disk, 0 if its predictions are kept.

    Raises:
        UsageError: The text cannot be read.
        LocalLLMError: The reference's header cannot be read.
    """
    from localllm.core.estimate.subject import subject_of_file
    from localllm.core.evaluate import References
    from localllm.core.evaluate.references import bytes_needed
    from localllm.engine.passes import CHUNK_TOKENS

    words = _text(text)
    wanted = chunks or max(1, len(words.content) // (4 * CHUNK_TOKENS))
    references = References(paths.references_folder)
    missing = None
    if base.sha256:
        place = references.place(base.sha256, words.sha256, CHUNK_TOKENS)
        missing = references.missing(place, chunks, CHUNK_TOKENS)
    count = wanted if missing is None else missing
    return bytes_needed(count, CHUNK_TOKENS, subject_of_file(base.path).vocabulary)


def clear_references(paths: Paths) -> int:
    """Remove the predictions that are kept; return the bytes that are free now."""
    from localllm.core.evaluate import References

    return References(paths.references_folder).clear()


def measure(paths: Paths, threads: int, asked: Asked, progress: Progress) -> Evaluation:
    """Measure one model.

    Raises:
        NotEnoughMemory: A model does not fit beside what runs.
        LocalLLMError: A model cannot be loaded, the text is too short, the disk is full.
        Cancelled: Through `progress`.
    """
    from localllm.core.engine_work import EngineWork
    from localllm.core.evaluate import evaluate
    from localllm.engine.protocol import LoadSettings

    return evaluate(EngineWork.here(paths, LoadSettings(threads=threads)), _wish(asked), progress)


def key_of_result(result: Evaluation) -> str:
    """Return the key of the group that a result is in."""
    from localllm.core.evaluate.groups import key_of

    return key_of(result)


def sentence_of_result(result: Evaluation) -> Text:
    """Return what a measurement showed in one sentence."""
    from localllm.core.evaluate.meaning import with_error

    comparison = result.figures.comparison
    if comparison is None:
        return text("Perplexity {value}.", value=with_error(result.figures.ppl, 3))
    return text(
        "Divergence {value}, same first choice {share} %.",
        value=with_error(comparison.divergence.mean, 4),
        share=Number(100 * comparison.same_top.value, 1),
    )


def _wish(asked: Asked) -> EvaluationWish:
    from localllm.core.evaluate import EvaluationWish

    return EvaluationWish(
        asked.model, _text(asked.text), asked.base, asked.chunks, kv_type_k=asked.kv_type_k,
        kv_type_v=asked.kv_type_v, anyway=asked.anyway,
    )  # fmt: skip


def _text(file: Path | None) -> MeasuringText:
    from localllm.core.imatrix import evaluation_text, read_text_file

    return read_text_file(file) if file else evaluation_text()


def _may_be_parent(other: LibraryModel, model: LibraryModel) -> bool:
    if other.architecture != model.architecture or not (other.parameters and model.parameters):
        return False
    if (other.bits_per_weight or 0) < (model.bits_per_weight or 0):
        return False
    ratio = other.parameters / model.parameters
    if abs(ratio - 1) < _SAME_SIZE:
        return True
    return 1 < ratio < _LARGEST_PRUNED and _alike(other, model) and (other.layers or 0) > (model.layers or 0)


def _alike(one: LibraryModel, other: LibraryModel) -> bool:
    """Tell whether two names begin with the same two words, or as many as there are: "Qwen3-8B"."""
    return all(a == b for a, b in zip(_first_words(one), _first_words(other), strict=False))


def _first_words(model: LibraryModel) -> list[str]:
    name = model.name.lower().replace(model.quant.lower(), "") if model.quant else model.name.lower()
    return name.replace("_", "-").replace(".", "-").strip("-").split("-")[:2]


def _rank(other: LibraryModel, model: LibraryModel) -> tuple[bool, bool, float, str]:
    return not is_full_precision(other), not _alike(other, model), -(other.bits_per_weight or 0), other.name


def is_full_precision(model: LibraryModel) -> bool:
    """Tell whether a model is not quantized."""
    from localllm.core.evaluate.results import FULL_PRECISION

    return model.quant in FULL_PRECISION
