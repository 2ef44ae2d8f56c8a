"""Searches the settings that make one model fastest on this computer, one setting after the other.

What is made short is a turn of a chat: a prompt that is read and an answer that is written. A change counts
only if it is clearly faster, so that noise does not choose; a smaller type of the cache is measured and
shown, with what it costs in quality, but never chosen: it changes the answers.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localllm.core.bench.kv_cost import MOST_CHUNKS, measure_kv_cost
from localllm.core.bench.parameters import Parameters
from localllm.core.bench.plan import make_plan
from localllm.core.bench.presets import layer_counts
from localllm.core.bench.run import run_bench
from localllm.core.bench.search_progress import SearchProgress
from localllm.core.estimate import Question, subject_of_file
from localllm.core.measuring_lock import measuring_alone
from localllm.core.session import fit_settings
from localllm.engine.experts import AUTOMATIC
from localllm.engine.passes import CHUNK_TOKENS
from localllm.engine.protocol import LoadSettings
from localllm.errors import LocalLLMError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.bench.kv_cost import KvCost
    from localllm.core.bench.plan import BenchedModel
    from localllm.core.bench.rows import BenchRow
    from localllm.core.bench.run import Bench
    from localllm.core.machine import Machine
    from localllm.progress import Progress
    from localllm.texts import Text

_log = logging.getLogger(__name__)

SECONDS = 120.0
_TURN_READ, _TURN_WRITTEN = 512, 128  # tokens of a turn of a chat
_PROMPTS = (2048, 1024, 512, 256, 128, 64)  # tokens of a trial's prompt, the longest that time allows
_WRITTEN, _REPETITIONS = 16, 2  # of a trial
_CLEARLY = 0.97  # of the time that the best took until then
_TRIALS = 12  # that are to fit into the time
_FOR_QUALITY = 0.25  # of the time
_LOSSY = ("kv_types_k", "kv_types_v")
# what is tried, and llama.cpp's flag for it
_FLAGS = {
    "threads": "-t", "gpu_layers": "-ngl", "expert_layers": "-ncmoe", "flash": "-fa", "batches": "-b",
    "ubatches": "-ub", "kv_types_k": "-ctk", "kv_types_v": "-ctv",
}  # fmt: skip


@dataclass(frozen=True)
class TunedModel:
    """What to tune; `layers` as llama.cpp counts them, without the output, `usual` as chats are loaded."""

    model: BenchedModel
    layers: int
    experts: bool
    usual: LoadSettings = field(default_factory=LoadSettings)


@dataclass(frozen=True)
class Trial:
    """One way to load the model.

    Attributes:
        changed: What differs from the usual, by the names of `Parameters`.
        reading, writing: Tokens/s; 0 if it failed.
        memory: Bytes on all devices.
        failure: Why there are no figures.
        cost: What its cache type costs in quality; None = not measured, or nothing.
    """

    parameters: Parameters
    changed: dict[str, Any]
    reading: float
    writing: float
    memory: int
    failure: Text | None = None
    cost: KvCost | None = None

    @property
    def seconds(self) -> float | None:
        """What a turn of a chat takes: 512 tokens read, 128 written."""
        if not self.reading or not self.writing:
            return None
        return _TURN_READ / self.reading + _TURN_WRITTEN / self.writing

    @property
    def lossy(self) -> bool:
        """Whether it changes the answers."""
        return any(name in _LOSSY for name in self.changed)

    def settings(self, usual: LoadSettings, cores: int) -> LoadSettings:
        """Return how to load the model this way; its cache type stays the usual one's."""
        wanted = self.parameters
        return dataclasses.replace(
            usual,
            threads=wanted.threads[0] or cores,
            gpu_layers=wanted.gpu_layers[0],
            experts_layers_on_cpu=wanted.expert_layers[0] or AUTOMATIC,
            ubatch=wanted.ubatches[0],
            batch=wanted.batches[0],
            flash_attention=wanted.flash[0] != "off",
        )


@dataclass(frozen=True)
class Tuning:
    """All that was tried, the usual way first; `best` is None if nothing worked."""

    trials: tuple[Trial, ...]
    best: Trial | None


def tune(bench: Bench, wanted: TunedModel, progress: Progress, seconds: float = SECONDS) -> Tuning:
    """Search for about so long; what does not fit into the time is left out.

    Args:
        bench: Where to measure.
        wanted: The model.
        progress: Gets seconds that have passed and those in all; may cancel.
        seconds: For everything.

    Raises:
        OwnWorkRuns: Somebody else measures, or work of ours runs.
        MachineBusy: Other programs use the processors.
        EngineError: The engine does not start.
        Cancelled: Through `progress`.
    """
    search = _Search(bench, wanted, SearchProgress(progress, seconds), time.monotonic(), seconds)
    with measuring_alone(bench.paths, text("Tuning of {model}", model=wanted.model.name)):
        search.begin()
        search.find_place()
        for changes in _neighbours(bench.machine, search.prompt):
            search.try_all(changes)
    search.weigh_caches()
    return Tuning(tuple(search.trials), search.best)


def _neighbours(machine: Machine, prompt: int) -> list[list[dict[str, Any]]]:
    """Return groups of changes; of each group the fastest is kept for the next."""
    cores = machine.cpu.usable_cores
    threads = {cores, machine.cpu.performance_cores or cores, max(1, cores - 1), max(1, cores // 2)}
    physical = [size for size in (2048, 1024, 256, 128) if size <= prompt]
    logical = [size for size in (1024, 512, 256) if size < prompt]
    return [
        [{"threads": (count,)} for count in sorted(threads - {cores}, reverse=True)],
        [{"flash": ("off",)}],
        [{"ubatches": (size,)} for size in physical],
        [{"batches": (size,)} for size in logical],
        [{"kv_types_k": (kind,), "kv_types_v": (kind,), "flash": ("auto",)} for kind in ("q8_0", "q4_0")],
    ]


@dataclass
class _Search:
    """Goes from the best so far to its neighbours."""

    bench: Bench
    wanted: TunedModel
    progress: SearchProgress
    began: float
    allowed: float
    trials: list[Trial] = field(default_factory=list["Trial"])
    best: Trial | None = None
    prompt: int = _PROMPTS[-1]
    _cost: float = 0.0

    def begin(self) -> None:
        """Measure the usual way, first briefly: that tells how long a prompt may be."""
        brief = Parameters((self.prompt,), (4,), repetitions=1)
        began = time.monotonic()
        rows = self._measure(brief)
        speed = max((row.mean for row in rows if row.number("n_prompt")), default=0.0)
        room = self.allowed / _TRIALS - (time.monotonic() - began)
        if speed:
            tokens = room * speed / (_REPETITIONS + 1)
            self.prompt = next((size for size in _PROMPTS if size <= tokens), self.prompt)
        self._try({}, always=True)

    def find_place(self) -> None:
        """Look where the layers are best: on the GPU if they fit, else as many as fit."""
        if not self.bench.machine.engine_gpus:
            return
        if self.best is not None:
            self._try({"gpu_layers": (0,)})
            return
        if self.wanted.experts:
            self._find_experts()
        for layers in layer_counts(self.wanted.layers)[-2::-1]:
            if self.best is None:
                self._try({"gpu_layers": (layers,)}, always=not layers)

    def _find_experts(self) -> None:
        """Look how many layers' experts are best in main memory: all, as few as must be, or half way."""
        layers = self.wanted.layers
        self._try({"expert_layers": (layers,)})
        if self.best is not None:
            fewest = self._fewest_experts() or max(1, layers // 4)
            for count in (fewest, (fewest + layers) // 2):
                self._try({"expert_layers": (count,)})

    def _fewest_experts(self) -> int:
        """Return of how many layers a chat leaves the experts in main memory by itself; 0 = not known."""
        estimator, usual = self.bench.estimator, self.wanted.usual
        try:
            subject = subject_of_file(self.wanted.model.path)
            fit = fit_settings(usual, subject.trained_context)
            answer = estimator.estimate(Question(subject, fit, self.bench.machine), self.progress)
        except LocalLLMError as error:
            _log.info("Nobody knows how many experts fit: %s", error)
            return 0
        finally:
            estimator.rest()
        return answer.placement.experts_layers_on_cpu

    def try_all(self, changes: Sequence[dict[str, Any]]) -> None:
        """Measure neighbours of the best so far."""
        base = self.best
        for change in changes:
            if base is not None:
                self._try(change, base)

    def weigh_caches(self) -> None:
        """Measure what smaller cache types cost in quality, as far as there is time."""
        lossy = [number for number, trial in enumerate(self.trials) if trial.lossy and trial.seconds]
        for place, number in enumerate(lossy):
            trial = self.trials[number]
            passes = len(lossy) - place + (place == 0)  # the reference reads too
            chunks = min(MOST_CHUNKS, int(self._left() * trial.reading / CHUNK_TOKENS / passes / 2))
            if chunks < 1:
                return
            self.trials[number] = dataclasses.replace(trial, cost=self._cost_of(trial, chunks))

    def _cost_of(self, trial: Trial, chunks: int) -> KvCost | None:
        kinds = trial.parameters
        settings = dataclasses.replace(
            trial.settings(LoadSettings(), self.bench.machine.cpu.usable_cores),
            kv_type_k=kinds.kv_types_k[0],
            kv_type_v=kinds.kv_types_v[0],
        )
        try:
            self.progress.stage(text("Measuring what a cache of {type} costs", type=settings.kv_type_k))
            return measure_kv_cost(self.bench, self.wanted.model.path, settings, chunks, self.progress)
        except LocalLLMError as error:
            _log.info("No quality of %s: %s", settings.kv_type_k, error)
            return None

    def _left(self) -> float:
        return self.began + self.allowed - time.monotonic()

    def _try(self, change: dict[str, Any], base: Trial | None = None, *, always: bool = False) -> None:
        """Measure one way, if there is time; a change that changes nothing is left out."""
        start = base.parameters if base else self._usual()
        way = dataclasses.replace(start, **change)
        spare = self.allowed * _FOR_QUALITY
        if (not always and self._left() - spare < self._cost) or any(
            one.parameters == way for one in self.trials
        ):
            return
        began = time.monotonic()
        changed = self._changed(way)
        self.progress.stage(
            text("Trying {settings}", settings=flags_of(changed)) if changed else text("Measuring")
        )
        trial = _judged(way, changed, self._measure(way))
        self._cost = time.monotonic() - began
        self.trials.append(trial)
        if trial.seconds is None or trial.lossy:
            return
        if self.best is None or trial.seconds < _CLEARLY * (self.best.seconds or 0.0):
            self.best = trial

    def _measure(self, way: Parameters) -> list[BenchRow]:
        rows: list[BenchRow] = []
        plan = make_plan([self.wanted.model], way, self.bench.machine.cpu.usable_cores)
        name = flags_of(self._changed(way))
        title = f"tune: {name}" if name else "tune"
        run_bench(self.bench, plan, rows.append, self.progress, name=title, alone=True)
        return rows

    def _usual(self) -> Parameters:
        return Parameters((self.prompt,), (_WRITTEN,), repetitions=_REPETITIONS)

    def _changed(self, way: Parameters) -> dict[str, Any]:
        usual = dataclasses.replace(Parameters(), threads=way.threads)
        cores = self.bench.machine.cpu.usable_cores
        found = {name: getattr(way, name)[0] for name in _FLAGS if getattr(way, name) != getattr(usual, name)}
        return {**({} if way.threads[0] in (0, cores) else {"threads": way.threads[0]}), **found}


def _judged(way: Parameters, changed: dict[str, Any], rows: Sequence[BenchRow]) -> Trial:
    read, written = sorted(rows, key=lambda row: row.number("n_gen"))
    memory = max(row.buffer_memory for row in rows)
    failure = next((row.failure for row in rows if row.failure), None)
    return Trial(way, changed, read.mean, written.mean, memory, failure)


def flags_of(changed: dict[str, Any]) -> str:
    """Return what a trial has otherwise than the usual way as llama.cpp's flags: "-t 4 -ub 256"."""
    return " ".join(f"{_FLAGS[name]} {value}" for name, value in changed.items())
