"""Evaluates a model: its perplexity on a text, and how far it is from a reference."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from localllm.core.estimate.subject import subject_of_file
from localllm.core.evaluate.figures import figures_of
from localllm.core.evaluate.references import References
from localllm.core.evaluate.results import Evaluation, Measured, Results
from localllm.core.fit import FitSettings
from localllm.core.measuring_lock import working
from localllm.core.model_hash import hash_model
from localllm.core.time_left import TimeLeft
from localllm.engine.passes import CHUNK_TOKENS, ChunkScore, PassStart, Reference, TextPass
from localllm.errors import DamagedCache
from localllm.gguf import read_header
from localllm.texts import Number, text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.engine_work import EngineWork, Load
    from localllm.core.imatrix import MeasuringText
    from localllm.core.library import LibraryModel
    from localllm.engine.client import Engine
    from localllm.engine.protocol import LoadSettings
    from localllm.progress import Progress
    from localllm.texts import Text

DEFAULT_CHUNKS = 16  # 4080 scored positions: a divergence to about 2 %
_NONE = Reference()


@dataclass(frozen=True)
class EvaluationWish:
    """What is to be measured.

    Attributes:
        base: The reference, in full precision as a rule; None = perplexity only, or with another cache type
            than f16 the model itself with f16.
        chunks: At most; 0 = all that the text has.
        chunk_tokens: Length of one.
        anyway: Load models that do not seem to fit.
    """

    model: LibraryModel
    text: MeasuringText
    base: LibraryModel | None = None
    chunks: int = DEFAULT_CHUNKS
    chunk_tokens: int = CHUNK_TOKENS
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    anyway: bool = False

    @property
    def reference(self) -> LibraryModel | None:
        """What is compared with."""
        plain = self.kv_type_k == self.kv_type_v == "f16"
        return self.base if self.base or plain else self.model


def evaluate(work: EngineWork, wish: EvaluationWish, progress: Progress) -> Evaluation:
    """Measure a model, and keep the result.

    The reference's predictions are kept too: for a second model only its own pass is needed.

    Args:
        work: Loads the models.
        wish: What is to be measured.
        progress: Gets chunks; its note has the perplexity so far and the time left. May cancel; what was
            kept of the reference stays.

    Raises:
        UsageError: The text is too short, or the disk too full.
        NotEnoughMemory: A model does not fit.
        LocalLLMError: A model cannot be loaded, the two do not belong together, or the engine failed.
        Cancelled: Through `progress`.
    """
    with working(text("The evaluation of “{name}”", name=wish.model.name), progress):
        run = _Run(work, wish, progress)
        try:
            scores = run.measure()
        except DamagedCache:
            run.forget_reference()
            scores = run.measure()
    return Results(work.paths.evaluations_file).add(run.result(scores))


class _Run:
    """One evaluation on its way."""

    def __init__(self, work: EngineWork, wish: EvaluationWish, progress: Progress) -> None:
        self._work, self._wish, self._progress = work, wish, progress
        self._started = time.perf_counter()
        self._references = References(work.paths.references_folder)
        fit = FitSettings(
            wish.chunk_tokens, batch=wish.chunk_tokens, outputs_max=wish.chunk_tokens - wish.chunk_tokens // 2
        )
        cached = replace(fit, kv_type_k=wish.kv_type_k, kv_type_v=wish.kv_type_v)
        self._load = work.plan(wish.model.path, cached, anyway=wish.anyway)
        self._hash = hash_model(wish.model, progress)
        self._base: tuple[LibraryModel, str, Load] | None = None
        if wish.reference is not None:
            same = wish.reference.path == wish.model.path
            load = work.plan(wish.reference.path, fit, anyway=wish.anyway)
            self._base = (
                wish.reference, self._hash if same else hash_model(wish.reference, progress), load,
            )  # fmt: skip

    def measure(self) -> list[ChunkScore]:
        """Return the scores of the model's chunks, after the reference's pass where it is needed."""
        place = self._place()
        if place is None:
            return self._pass(self._load, _NONE, text("Measuring {model}", model=self._wish.model.name))
        self._keep_reference(place)
        os.utime(place)  # the ones used longest ago go first
        return self._pass(
            self._load,
            Reference("compare", str(place)),
            text("Comparing {model}", model=self._wish.model.name),
        )

    def forget_reference(self) -> None:
        """Remove what was kept of the reference."""
        place = self._place()
        if place is not None:
            self._references.forget(place)

    def result(self, scores: list[ChunkScore]) -> Evaluation:
        """Return the result of these scores."""
        wish = self._wish
        base = self._base
        return Evaluation(
            model=_measured(wish.model, self._hash, self._load),
            base=_measured(*base) if base else None,
            text_name=wish.text.name,
            text_hash=wish.text.sha256,
            figures=figures_of(scores),
            chunk_tokens=wish.chunk_tokens,
            kv_type_k=wish.kv_type_k,
            kv_type_v=wish.kv_type_v,
            seconds=time.perf_counter() - self._started,
        )

    def _place(self) -> Path | None:
        if self._base is None:
            return None
        return self._references.place(self._base[1], self._wish.text.sha256, self._wish.chunk_tokens)

    def _keep_reference(self, place: Path) -> None:
        """Let the reference read what is not kept of it yet."""
        wish = self._wish
        missing = self._references.missing(place, wish.chunks, wish.chunk_tokens)
        if missing == 0 or self._base is None:
            return
        base, _, load = self._base
        expected = missing or wish.chunks or len(wish.text.content) // wish.chunk_tokens
        vocabulary = subject_of_file(base.path).vocabulary
        self._references.make_room(place, expected, wish.chunk_tokens, vocabulary)
        self._pass(load, Reference("keep", str(place)), text("Reading with {model}", model=base.name))

    def _pass(self, load: Load, reference: Reference, title: Text) -> list[ChunkScore]:
        wanted = TextPass(self._wish.text.content, self._wish.chunk_tokens, self._wish.chunks)

        def score(engine: Engine, settings: LoadSettings) -> list[ChunkScore]:
            left, total, scores = TimeLeft(), 0, list[ChunkScore]()
            nll = divergence = 0.0
            for event in engine.score(load.path, settings, wanted, reference, self._progress):
                if isinstance(event, PassStart):
                    total, left = event.chunks, TimeLeft()
                    self._progress.update(0, total, title)
                    continue
                scores.append(event)
                nll += float(np.mean(event.nll))
                divergence += float(np.mean(event.divergence)) if event.divergence else 0.0
                note = _so_far(title, len(scores), total, nll, divergence)
                self._progress.update(len(scores), total, left.after(len(scores), total, note))
            return scores

        return self._work.run(load, score, self._progress)


def _so_far(title: Text, done: int, total: int, nll: float, divergence: float) -> Text:
    perplexity = Number(float(np.exp(min(700.0, nll / done))), 2)
    values = {"title": title, "done": done, "total": total, "perplexity": perplexity}
    if not divergence:
        return text("{title}: chunk {done} of {total}, perplexity {perplexity}", **values)
    return text(
        "{title}: chunk {done} of {total}, perplexity {perplexity}, divergence {divergence}",
        **values,
        divergence=Number(divergence / done, 4),
    )


def _measured(model: LibraryModel, digest: str, load: Load) -> Measured:
    header = read_header(model.path)
    return Measured(
        name=model.name,
        path=str(model.path),
        hash=digest,
        quant=model.quant or header.quant,
        size=model.size,
        architecture=model.architecture or header.architecture,
        parameters=model.parameters or header.parameters,
        title=str(header.metadata.get("general.name", "")),
        repo=model.repo,
        speed=load.speed,
        speed_measured=load.measured,
    )
