"""What a type of the KV cache costs in quality: how far a model with it is from itself with 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.engine_work import EngineWork
from localllm.core.evaluate import EvaluationWish, Results, evaluate
from localllm.core.imatrix import evaluation_text
from localllm.core.library import describe
from localllm.core.model_hash import hash_model
from localllm.engine.passes import CHUNK_TOKENS
from localllm.errors import LocalLLMError

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.bench.run import Bench
    from localllm.core.evaluate import Evaluation
    from localllm.engine.protocol import LoadSettings
    from localllm.progress import Progress

MOST_CHUNKS = 4


@dataclass(frozen=True)
class KvCost:
    """Of one cache type, on the project's own text for evaluation.

    Attributes:
        divergence: Mean KL divergence from the 16-bit cache, nats per token.
        same_top: Share of tokens whose most likely successor stays the same, 0 to 1.
        positions: Tokens that were looked at.
    """

    divergence: float
    same_top: float
    positions: int


def measure_kv_cost(
    bench: Bench, path: Path, settings: LoadSettings, chunks: int, progress: Progress
) -> KvCost | None:
    """Return what the cache types of these settings cost; known results are not measured again.

    Args:
        bench: Where to measure.
        path: The model.
        settings: How it is loaded; its cache types count.
        chunks: Of 512 tokens at most.
        progress: Gets chunks; may cancel.

    Raises:
        LocalLLMError: The model cannot be evaluated.
        Cancelled: Through `progress`.
    """
    model, words = describe(path), evaluation_text()
    kept = _kept(bench, hash_model(model, progress), words.sha256, settings, chunks)
    if kept is None:
        wish = EvaluationWish(
            model, words, None, chunks, CHUNK_TOKENS, settings.kv_type_k, settings.kv_type_v, bench.anyway
        )
        work = EngineWork(bench.paths, bench.machine, bench.estimator, settings)
        kept = evaluate(work, wish, progress)
    figures = kept.figures
    if figures.comparison is None:
        return None
    return KvCost(
        figures.comparison.divergence.mean.value, figures.comparison.same_top.value, figures.positions
    )


def _kept(
    bench: Bench, model_hash: str, text_hash: str, wanted: LoadSettings, chunks: int
) -> Evaluation | None:
    """Return the newest result of at least as many chunks, if there is one that can be read."""
    try:
        known = Results(bench.paths.evaluations_file).of_model(model_hash)
    except LocalLLMError:  # which is logged: it is measured again
        return None
    for result in known:
        same = (result.text_hash, result.kv_type_k, result.kv_type_v)
        itself = result.base is not None and result.base.hash == model_hash
        enough = result.figures.chunks >= chunks
        if itself and enough and same == (text_hash, wanted.kv_type_k, wanted.kv_type_v):
            return result
    return None
