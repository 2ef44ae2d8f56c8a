"""Asks for recommendations and for the reasons behind them; what it needs for that is read once."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.ui.jobs import Job, Reactions

if TYPE_CHECKING:
    from localllm.core.catalogue import Catalogue
    from localllm.core.estimate import Estimate
    from localllm.core.hardware.gpu_table import GpuTable
    from localllm.core.library import LibraryModel
    from localllm.core.machine import Machine
    from localllm.core.recommend import (
        Choice,
        Needs,
        Recommendation,
        ServingPlan,
        Situation,
        WhatIf,
        Why,
        Wish,
    )
    from localllm.progress import Progress
    from localllm.ui.services import Services

_SERVED = 3  # of the best models, where nothing fits


@dataclass(frozen=True)
class Served:
    """What hardware a model needs, and the ways to serve it."""

    needs: Needs
    plans: tuple[ServingPlan, ...]


@dataclass(frozen=True)
class Advised:
    """A recommendation for this computer, or for another one.

    Attributes:
        models: Those on this disk.
        served: What the best models need, where nothing fits.
    """

    what_if: WhatIf | None
    situation: Situation
    recommendation: Recommendation
    models: list[LibraryModel]
    served: tuple[Served, ...]


@dataclass(frozen=True)
class Explained:
    """All about one choice; `served` only for what does not fit."""

    why: Why
    answer: Estimate
    room: int
    served: Served | None


@dataclass(frozen=True)
class _Facts:
    catalogue: Catalogue
    table: GpuTable
    measured: float  # when something was measured last


@dataclass
class _Disk:
    """The models on this disk, once a job has read them."""

    models: list[LibraryModel] | None = None


class Advisor(QObject):
    """One recommendation at a time, the newest wish.

    Signals:
        advised: arg: `Advised`.
        explained: arg: `Explained`.
        failed: arg: the exception.
    """

    advised = Signal(object)
    explained = Signal(object)
    failed = Signal(object)

    def __init__(self, services: Services, parent: QObject) -> None:
        super().__init__(parent)
        self._services = services
        self._lock = threading.Lock()
        self._facts: _Facts | None = None
        self._disk = _Disk()
        self._advising: Job | None = None
        self._explaining: Job | None = None
        self._newest: Advised | None = None

    def read_models_again(self) -> None:
        """Look at this disk again with the next question."""
        self._disk = _Disk()  # a job that still reads keeps what it finds to itself

    def ask(self, wish: Wish, what_if: WhatIf | None) -> None:
        """Recommend, for this computer or another one."""
        machine = self._services.computer.machine
        if machine is None:
            return
        if self._advising is not None:
            self._advising.cancel()

        disk = self._disk

        def work(progress: Progress) -> Advised:
            if disk.models is None:
                disk.models = self._services.library.models()
            progress.raise_if_cancelled()
            return self._advise(machine, wish, what_if, disk.models, progress)

        self._advising = self._services.jobs.run(
            work, Reactions(succeeded=self._on_advised, failed=self.failed.emit)
        )

    def explain(self, choice: Choice) -> None:
        """Say why, for the newest recommendation."""
        advised = self._newest
        if advised is None:
            return
        if self._explaining is not None:
            self._explaining.cancel()
        self._explaining = self._services.jobs.run(
            lambda _progress: self._explain(advised, choice),
            Reactions(succeeded=self._on_explained, failed=self.failed.emit),
        )

    def _on_advised(self, advised: Advised) -> None:
        if self.sender() is self._advising:
            self._newest = advised
            self.advised.emit(advised)

    def _on_explained(self, explained: Explained) -> None:
        if self.sender() is self._explaining:
            self.explained.emit(explained)

    def _read(self) -> _Facts:
        from localllm.core.hardware.gpu_table import GpuTable
        from localllm.core.measured import catalogue_here

        paths = self._services.paths
        with self._lock:
            measured = paths.evaluations_file.stat().st_mtime if paths.evaluations_file.is_file() else 0.0
            if self._facts is None or self._facts.measured != measured:
                self._facts = _Facts(catalogue_here(paths), GpuTable.load(), measured)
            return self._facts

    def _advise(
        self,
        machine: Machine,
        wish: Wish,
        what_if: WhatIf | None,
        models: list[LibraryModel],
        progress: Progress,
    ) -> Advised:
        from localllm.core.engine_limits import as_used
        from localllm.core.recommend import Situation, hypothetical_machine, recommend

        facts = self._read()
        machine = as_used(self._services.paths.engine_limits_file, machine)
        fits = self._services.speeds.fits(machine)
        if what_if is not None:
            machine = hypothetical_machine(what_if, facts.table, machine)
            fits = None if what_if.gpu else fits
        situation = Situation.of(machine, facts.catalogue, wish, fits)
        found = recommend(machine, facts.catalogue, wish, fits)
        progress.raise_if_cancelled()
        served: tuple[Served, ...] = ()
        if found.best is None:
            best = sorted(found.ranked, key=lambda row: -row.quality.score)[:_SERVED]
            served = tuple(self._served(situation, row, facts.table) for row in best)
        return Advised(what_if, situation, found, models, served)

    def _explain(self, advised: Advised, choice: Choice) -> Explained:
        from localllm.core.recommend import explain_choice

        facts, situation = self._read(), advised.situation
        why = explain_choice(situation, choice, table=facts.table, ranked=advised.recommendation.ranked)
        hopeless = choice.verdict == "does_not_fit"
        served = self._served(situation, choice, facts.table) if hopeless else None
        room = situation.budgets.whole(closed=False)
        return Explained(why, estimate_of(choice, situation), room, served)

    def _served(self, situation: Situation, choice: Choice, table: GpuTable) -> Served:
        from localllm.core.recommend import hardware_needed, serving_plans

        needs = hardware_needed(situation.machine, table, choice.model, situation.wish)
        return Served(needs, serving_plans(needs, situation.wish, situation.budgets))


def estimate_of(choice: Choice, situation: Situation) -> Estimate:
    """Return the estimate that a choice rests on."""
    from localllm.core.estimate import Estimate, subject_of_row

    file = next(file for file in choice.model.quants if file.name == choice.quant)
    return Estimate(
        subject_of_row(choice.model, file),
        choice.settings.fit,
        choice.memory,
        (),
        choice.placement,
        choice.verdict,
        situation.budgets,
        choice.speed,
    )
