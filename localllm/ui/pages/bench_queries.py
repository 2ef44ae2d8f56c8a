"""What the Bench page asks and does in jobs; nothing here touches a widget."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.bench import Bench, BenchedModel, BenchHistory, make_plan, run_bench
from localllm.core.bench.duration import expected_seconds, quick_parameters
from localllm.core.bench.importing import import_llama_bench
from localllm.core.time_left import TimedProgress
from localllm.errors import LocalLLMError
from localllm.progress import Progress
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from localllm.core.bench import BenchRow, BenchRun, Parameters
    from localllm.core.bench.chat import ChatSpeed
    from localllm.core.bench.duration import Pace
    from localllm.core.bench.tune import Tuning
    from localllm.core.library import LibraryModel
    from localllm.paths import Paths

MOST_TESTS = 2000


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Attributes:
        name: What the run is called in the history, in English.
        anyway: Also beside busy programs, and what does not seem to fit.
        chat: Chats through the application beside the bare engine, instead of tests.
        quick: What there is time for in half a minute, instead of the parameters' tests.
    """

    models: tuple[LibraryModel, ...]
    parameters: Parameters
    name: str = ""
    anyway: bool = False
    chat: bool = False
    quick: bool = False

    @property
    def names(self) -> str:
        """The models' names."""
        return ", ".join(model.name for model in self.models)


def count_tests(wanted: Wanted) -> int:
    """Return how many tests a bench has, without making its plan."""
    asked = wanted.parameters
    ways = (
        asked.gpu_layers, asked.expert_layers, asked.load_modes, asked.repack, asked.batches, asked.ubatches,
        asked.kv_types_k, asked.kv_types_v, asked.flash, asked.threads, asked.depths, asked.sequences,
    )  # fmt: skip
    amounts = sum(1 for tokens in (*asked.prompts, *asked.generated) if tokens) + len(asked.pairs)
    return len(wanted.models) * amounts * math.prod(len(values) for values in ways)


def foresee_seconds(wanted: Wanted, paces: Sequence[Pace]) -> float:
    """Return about how long a bench takes."""
    return expected_seconds(wanted.parameters, _benched(wanted.models), paces)


def choose_quick(models: Sequence[LibraryModel], paces: Sequence[Pace]) -> Parameters:
    """Return the tests that take about half a minute."""
    return quick_parameters(paces, _benched(models))


def _benched(models: Sequence[LibraryModel]) -> list[BenchedModel]:
    return [BenchedModel(model.path, model.name) for model in models]


def chat_with(
    paths: Paths,
    threads: int,
    wanted: Wanted,
    on_result: Callable[[LibraryModel, ChatSpeed], None],
    progress: Progress,
) -> int:
    """Chat with each model, and measure the bare engine; return how many there are.

    Args:
        paths: The user's folders.
        threads: 0 = the cores that may be used.
        wanted: Which models.
        on_result: Gets each result when it is there, in this thread.
        progress: May cancel.

    Raises:
        OwnWorkRuns: Somebody else measures, or work of ours runs.
        MachineBusy: Other programs use the processors.
        LocalLLMError: A model cannot be loaded, or answers too briefly.
        Cancelled: Through `progress`.
    """
    from localllm.core.bench.chat import measure_chat

    bench = _bench(paths, anyway=wanted.anyway)
    for model in wanted.models:
        on_result(model, measure_chat(bench, model, progress, threads))
    return len(wanted.models)


def measure(
    paths: Paths, threads: int, wanted: Wanted, on_row: Callable[[BenchRow], None], progress: Progress
) -> int:
    """Measure; return the number of the run in the history.

    Args:
        paths: The user's folders.
        threads: What 0 threads mean; 0 = the cores that may be used.
        wanted: What.
        on_row: Gets each result when it is there, in this thread.
        progress: Gets repetitions done and in all, with the time that is left.

    Raises:
        OwnWorkRuns: Somebody else measures, or work of ours runs.
        MachineBusy: Other programs use the processors.
        LocalLLMError: A file is gone, or the engine does not start.
        Cancelled: Through `progress`; what was finished is in the history.
    """
    from localllm.core.bench.quick import Quick, run_quick
    from localllm.core.model_hash import hash_model

    began = time.monotonic()
    bench = _bench(paths, anyway=wanted.anyway)
    models = [
        BenchedModel(model.path, model.name, hash_model(model, _unmeasured(progress, model)))
        for model in wanted.models
    ]
    cores, timed = threads or bench.machine.cpu.usable_cores, TimedProgress(progress)
    if wanted.quick:
        return run_quick(bench, Quick(models, began, cores), on_row, timed, name=wanted.name)
    plan = make_plan(models, wanted.parameters, cores)
    return run_bench(bench, plan, on_row, timed, name=wanted.name)


def _bench(paths: Paths, *, anyway: bool) -> Bench:
    from localllm.core.estimate import Estimator
    from localllm.core.this_machine import find_this_machine

    machine, history = find_this_machine(paths), BenchHistory(paths.benches_file)
    return Bench(paths, machine, Estimator.for_paths(paths), history, anyway=anyway)


def _unmeasured(progress: Progress, model: LibraryModel) -> Progress:
    """Return a progress for reading a file, which is no repetition."""
    note = text("Reading {model}, to know it again…", model=model.name)

    def tell(done: float, total: float, _note: Text | None) -> None:
        progress.update(done, total, note)

    return Progress(tell)


@dataclass(frozen=True)
class Tuned:
    """What a search found for a model; `cores` are what 0 threads mean."""

    model: LibraryModel
    tuning: Tuning
    cores: int


def search_best(paths: Paths, model: LibraryModel, progress: Progress, *, anyway: bool = False) -> Tuned:
    """Search the settings that make a model fastest; takes about two minutes.

    `anyway` searches beside busy programs too.

    Raises:
        OwnWorkRuns: Somebody else measures, or work of ours runs.
        MachineBusy: Other programs use the processors.
        LocalLLMError: The file is gone, or the engine does not start.
        Cancelled: Through `progress`.
    """
    from localllm.core.bench.tune import TunedModel, tune
    from localllm.core.estimate import subject_of_file
    from localllm.core.model_hash import hash_model
    from localllm.core.resolution import resolve
    from localllm.settings_file import read_settings

    subject = subject_of_file(model.path)
    benched = BenchedModel(model.path, model.name, hash_model(model, _unmeasured(progress, model)))
    bench = _bench(paths, anyway=anyway)
    usual = resolve(read_settings(paths.settings_file)[0]).load
    found = tune(bench, TunedModel(benched, subject.layers, subject.experts, usual), progress)
    return Tuned(model, found, bench.machine.cpu.usable_cores)


def find_runs(paths: Paths) -> list[BenchRun]:
    """Read the history, the newest run first."""
    return BenchHistory(paths.benches_file).runs()


def remove_runs(paths: Paths, runs: Iterable[BenchRun]) -> None:
    """Forget runs."""
    history = BenchHistory(paths.benches_file)
    for run in runs:
        history.remove(run.id)


def put_back(paths: Paths, runs: Iterable[BenchRun]) -> None:
    """Keep runs that were removed."""
    history = BenchHistory(paths.benches_file)
    for run in runs:
        history.put_back(run)


def import_files(paths: Paths, files: Sequence[Path]) -> int:
    """Put llama-bench's files into the history; return the number of the last one's run.

    Raises:
        UsageError: A file is not llama-bench's; those before it are there.
        LocalLLMError: The history cannot be written.
    """
    history = BenchHistory(paths.benches_file)
    number = 0
    for file in files:
        number, _ = import_llama_bench(history, file)
    return number


def active_shares(files: Iterable[str]) -> dict[str, float]:
    """Return for each mixture of experts that is on this disk the share of its weights that a token uses."""
    from localllm.core.estimate.subject import subject_of_file

    found: dict[str, float] = {}
    for file in files:
        if not Path(file).is_file():
            continue
        try:
            shape = subject_of_file(Path(file)).shape
        except LocalLLMError:
            continue
        if shape is not None and shape.experts:
            found[file] = shape.active_parameters / shape.parameters
    return found
