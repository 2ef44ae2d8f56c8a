"""What would change the verdict: another context length, a smaller cache type, closing programs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from localllm.core.fit import FITS_NOW, with_cache
from localllm.core.fit.memory import MIB
from localllm.errors import EngineError
from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from localllm.core.estimate.estimator import Estimator
    from localllm.core.estimate.records import Estimate, Question
    from localllm.progress import Progress

CONTEXTS = (262144, 131072, 65536, 32768, 16384, 8192, 4096, 2048)
SMALLER_CACHE = "q8_0"  # mean KL divergence of the answers about that of Q8_0 weights
WORTH_SAYING = 64 * MIB
SMALL_UBATCH = 128


@dataclass(frozen=True)
class Advice:
    """One thing that could be done; `changes` are fields of `FitSettings`, none where it is not a setting."""

    sentence: Text
    changes: Mapping[str, object] = field(default_factory=dict[str, object])


def advise(
    estimator: Estimator, question: Question, answer: Estimate, progress: Progress | None = None
) -> tuple[Advice, ...]:
    """Return what could be done about an answer, the most useful first."""
    return tuple(_Adviser(estimator, question, answer, progress).advice())


class _Adviser:
    def __init__(
        self, estimator: Estimator, question: Question, answer: Estimate, progress: Progress | None
    ) -> None:
        self._estimator = estimator
        self._question = question
        self._answer = answer
        self._progress = progress
        self._fits = answer.verdict in FITS_NOW

    def advice(self) -> Iterator[Advice]:
        missing = self._answer.missing
        if self._answer.verdict == "needs_closing_apps" and missing:
            yield Advice(text("Close other programs: {missing} more must be free.", missing=Bytes(missing)))
        if self._question.settings.embeddings:
            return  # an encoder reads a text in one piece: context and batches change together
        found = (self._context(), self._cache_type(), self._batch())
        yield from (advice for advice in found if advice is not None)

    def _with(self, changes: Mapping[str, object], *, exact: bool) -> Estimate | None:
        """Return the answer with changed settings; None where llama.cpp refuses them for this model."""
        settings = replace(self._question.settings, **cast("dict[str, Any]", changes))
        question = replace(self._question, settings=settings, exact=exact and self._question.exact)
        try:
            return self._estimator.estimate(question, self._progress)
        except EngineError:
            return None

    def _would_fit(self, context: int) -> bool:
        """Ask the closed form first, which is quicker, then llama.cpp."""
        changes = {"context_length": context}
        answers = (self._with(changes, exact=exact) for exact in (False, True))
        return all(answer is not None and answer.verdict in FITS_NOW for answer in answers)

    def _context(self) -> Advice | None:
        asked, trained = self._question.settings.context_length, self._question.subject.trained_context
        if self._fits:
            longer = [context for context in CONTEXTS if asked < context <= trained]
            found = next((context for context in longer if self._would_fit(context)), None)
            template = "A context of {tokens} tokens would fit too."
        else:
            shorter = [context for context in CONTEXTS if context < asked]
            found = next((context for context in shorter if self._would_fit(context)), None)
            template = "A context of {tokens} tokens would fit."
        return Advice(text(template, tokens=found), {"context_length": found}) if found else None

    def _cache_type(self) -> Advice | None:
        settings = self._question.settings
        plain = settings.kv_type_k == settings.kv_type_v == "f16"
        if not plain or not settings.flash_attention:
            return None
        shape = self._question.subject.shape
        if shape is not None and with_cache(shape, settings, SMALLER_CACHE) == settings:
            return None
        changes = {"kv_type_k": SMALLER_CACHE, "kv_type_v": SMALLER_CACHE}
        smaller = self._with(changes, exact=True)
        saved = self._answer.memory.total - smaller.memory.total if smaller else 0
        if smaller is None or saved < WORTH_SAYING:
            return None
        fits = not self._fits and smaller.verdict in FITS_NOW
        template = (
            "KV cache as {kind}: saves {saved}, and then it fits."
            if fits
            else "KV cache as {kind}: saves {saved}."
        )
        return Advice(text(template, kind=SMALLER_CACHE, saved=Bytes(saved)), changes)

    def _batch(self) -> Advice | None:
        if self._fits or self._question.settings.ubatch <= SMALL_UBATCH:
            return None
        changes = {"ubatch": SMALL_UBATCH}
        smaller = self._with(changes, exact=True)
        saved = self._answer.memory.total - smaller.memory.total if smaller else 0
        if saved < WORTH_SAYING:
            return None
        sentence = text(
            "Physical batch of {tokens}: saves {saved}, and prompts are read more slowly.",
            tokens=SMALL_UBATCH,
            saved=Bytes(saved),
        )
        return Advice(sentence, changes)
