"""The quick bench: as many tokens and repetitions as end within half a minute of when it was asked for."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from localllm.core.bench.duration import QUICK_SECONDS, Pace, quick_parameters
from localllm.core.bench.parameters import Parameters
from localllm.core.bench.plan import make_plan
from localllm.core.bench.presets import preset
from localllm.core.bench.run import run_bench
from localllm.core.calibration.bencher import Bencher
from localllm.core.calibration.guard import require_idle
from localllm.core.engine_work import EngineWork
from localllm.core.fit import FitSettings
from localllm.core.measuring_lock import measuring_alone
from localllm.engine.protocol import BenchTest
from localllm.errors import LocalLLMError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from localllm.core.bench.plan import BenchedModel, Configuration
    from localllm.core.bench.rows import BenchRow
    from localllm.core.bench.run import Bench
    from localllm.progress import Progress

_READ, _WRITTEN = 32, 4  # tokens that tell the pace
_TRIAL = (BenchTest(_READ, 0, 0, 1), BenchTest(0, _WRITTEN, 0, 1))
_TRIAL_SECONDS = 4.0


@dataclass(frozen=True)
class Quick:
    """What is to be measured.

    Attributes:
        began: When it was asked for, as `time.monotonic` counts.
        cores: What 0 threads mean.
        chosen: Values of `Parameters` that somebody wants so.
    """

    models: Sequence[BenchedModel]
    began: float
    cores: int
    chosen: Mapping[str, Any] = field(default_factory=dict[str, Any])


def run_quick(
    bench: Bench,
    wanted: Quick,
    on_row: Callable[[BenchRow], None],
    progress: Progress,
    *,
    name: str = "",
    on_plan: Callable[[Sequence[Configuration]], None] = lambda _: None,
) -> int:
    """Measure what there is time for; return the number of the run in the history, as `run_bench` does.

    How fast a model is here is tried first: what is predicted of a computer may be far from it. Repetitions
    that would end too late are left out, but for the first of each test.

    Args:
        bench: Where.
        wanted: What.
        on_row: Gets each result when it is there.
        progress: Gets repetitions done and in all; may cancel: what was finished is kept.
        name: What the run is called in the history.
        on_plan: Gets what is measured, before it is.

    Raises:
        OwnWorkRuns: Somebody else measures, or work of ours runs.
        MachineBusy: Other programs use the processors.
        EngineError: The engine does not start.
        Cancelled: Through `progress`.
    """
    until = wanted.began + QUICK_SECONDS
    names = ", ".join(model.name for model in wanted.models)
    with measuring_alone(bench.paths, text("Bench of {models}", models=names)):
        if not bench.anyway:
            progress.update(0, 1, text("Looking whether the computer is idle…"))
            require_idle(bench.computer, bench.machine.cpu.usable_cores)
        paces = _try_paces(bench, wanted, progress)
        if len(paces) == len(wanted.models):
            found = quick_parameters(paces, wanted.models, until - time.monotonic(), wanted.chosen)
        else:
            found = preset("quick", wanted.cores, 0)
        most = replace(found, **{"repetitions": Parameters.repetitions, **wanted.chosen})
        plan = make_plan(wanted.models, most, wanted.cores)
        on_plan(plan)
        if "repetitions" not in wanted.chosen:
            bench = replace(bench, until=until)
        return run_bench(bench, plan, on_row, progress, name=name, alone=True)


def _try_paces(bench: Bench, wanted: Quick, progress: Progress) -> list[Pace]:
    """Return the pace of each model; what cannot be measured is left out: its row will say why."""
    found: list[Pace] = []
    with contextlib.closing(Bencher(bench.machine, bench.paths.engine_limits_file)) as bencher:
        for model in wanted.models:
            progress.update(0, 1, text("Trying how fast “{model}” is…", model=model.name))
            way = make_plan(
                [model], replace(Parameters((_READ,), (_WRITTEN,)), **wanted.chosen), wanted.cores
            )[0]
            settings = replace(way.settings, extra_buffers=way.repack is not False)
            with contextlib.suppress(LocalLLMError):
                if not bench.anyway:
                    work = EngineWork(bench.paths, bench.machine, bench.estimator, settings)
                    work.plan(model.path, FitSettings(context_length=_READ))
                read, written = bencher.measure(model.path, settings, _TRIAL, progress, _TRIAL_SECONDS)
                found.append(Pace(_speed(_READ, read), _speed(_WRITTEN, written), model.path.stat().st_size))
    return found


def _speed(tokens: int, nanoseconds: Sequence[int]) -> float:
    return 1e9 * tokens / min(nanoseconds)
