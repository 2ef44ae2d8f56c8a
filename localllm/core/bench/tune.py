"""Searches the settings that make one model fastest on this computer, one setting after the other.

What is made short is a turn of a chat: a prompt that is read and an answer that is written. A change counts
only if it is clearly faster, so that noise does not choose; a smaller type of the cache is measured and
shown, but never chosen: it changes the answers.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localllm.core.bench.parameters import Parameters
from localllm.core.bench.plan import make_plan
from localllm.core.bench.presets import layer_counts
from localllm.core.bench.run import run_bench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.bench.plan import BenchedModel
    from localllm.core.bench.rows import BenchRow
    from localllm.core.bench.run import Bench
    from localllm.core.machine import Machine
    from localllm.engine.protocol import LoadSettings
    from localllm.progress import Progress
    from localllm.texts import Text

SECONDS = 120.0
_TURN_READ, _TURN_WRITTEN = 512, 128  # tokens of a turn of a chat
_WRITTEN, _REPETITIONS = 16, 2  # of a trial
_CLEARLY = 0.97  # of the time that the best took until then
_LOSSY = ("kv_types_k", "kv_types_v")


@dataclass(frozen=True)
class TunedModel:
    """What to tune; `layers` as llama.cpp counts them, without the output."""

    model: BenchedModel
    layers: int
    experts: bool


@dataclass(frozen=True)
class Trial:
    """One way to load the model.

    Attributes:
        changed: What differs from the usual, by the names of `Parameters`.
        reading, writing: Tokens/s; 0 if it failed.
        memory: Bytes on all devices.
        failure: Why there are no figures.
    """

    parameters: Parameters
    changed: dict[str, Any]
    reading: float
    writing: float
    memory: int
    failure: Text | None = None

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
        """Return how to load the model this way."""
        wanted = self.parameters
        return dataclasses.replace(
            usual,
            threads=wanted.threads[0] or cores,
            gpu_layers=wanted.gpu_layers[0],
            experts_on_cpu=wanted.expert_layers[0] > 0,
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

    Raises:
        MachineBusy: Somebody else measures, or other programs use the processors.
        EngineError: The engine does not start.
        Cancelled: Through `progress`.
    """
    search = _Search(bench, wanted, progress, time.monotonic() + seconds)
    for name, values in _dimensions(bench.machine, wanted):
        search.try_values(name, values)
    return Tuning(tuple(search.trials), search.best)


def _dimensions(machine: Machine, wanted: TunedModel) -> list[tuple[str, tuple[Any, ...]]]:
    cores = machine.cpu.usable_cores
    threads = {cores, machine.cpu.performance_cores or cores, max(1, cores - 1), max(1, cores // 2)}
    found: list[tuple[str, tuple[Any, ...]]] = [("threads", (cores,))]
    if machine.engine_gpus:
        found.append(("gpu_layers", layer_counts(wanted.layers)[-2::-1]))
        if wanted.experts:
            found.append(("expert_layers", (wanted.layers,)))
    found += [
        ("threads", tuple(sorted(threads - {cores}, reverse=True))),
        ("flash", ("off",)),
        ("ubatches", (256, 128)),
        ("kv_types_k", ("q8_0",)),
    ]
    return found


@dataclass
class _Search:
    """Goes from the best so far to its neighbours."""

    bench: Bench
    wanted: TunedModel
    progress: Progress
    end: float
    trials: list[Trial] = field(default_factory=list["Trial"])
    best: Trial | None = None
    _cost: float = 0.0

    def try_values(self, name: str, values: Sequence[Any]) -> None:
        """Measure the best so far with other values of one setting."""
        base = self.best.parameters if self.best else self._usual()
        room = int((self.end - time.monotonic()) / self._cost) if self._cost else 1
        ways = [dataclasses.replace(base, **{name: (value,)}) for value in values[: max(0, room)]]
        if not ways:
            return
        began = time.monotonic()
        rows: list[BenchRow] = []
        cores = self.bench.machine.cpu.usable_cores
        plan = tuple(one for way in ways for one in make_plan([self.wanted.model], way, cores))
        run_bench(self.bench, plan, rows.append, self.progress, name=f"tune: {name}")
        self._cost = (time.monotonic() - began) / len(ways)
        for way in ways:
            self._judge(way, [rows.pop(0) for _ in range(2)])

    def _usual(self) -> Parameters:
        prompt = 512 if self.bench.machine.engine_gpus else 256
        return Parameters((prompt,), (_WRITTEN,), repetitions=_REPETITIONS)

    def _judge(self, way: Parameters, rows: Sequence[BenchRow]) -> None:
        usual = Parameters()
        cores = self.bench.machine.cpu.usable_cores
        names = ("threads", "gpu_layers", "expert_layers", "flash", "ubatches", *_LOSSY)
        changed = {
            name: getattr(way, name)[0]
            for name in names
            if getattr(way, name) != getattr(usual, name)
            and (name, getattr(way, name)) != ("threads", (cores,))
        }
        read, written = sorted(rows, key=lambda row: row.number("n_gen"))
        memory = max(row.buffer_memory for row in rows)
        failure = next((row.failure for row in rows if row.failure), None)
        trial = Trial(way, changed, read.mean, written.mean, memory, failure)
        self.trials.append(trial)
        if trial.seconds is None or trial.lossy:
            return
        if self.best is None or trial.seconds < _CLEARLY * (self.best.seconds or 0.0):
            self.best = trial
