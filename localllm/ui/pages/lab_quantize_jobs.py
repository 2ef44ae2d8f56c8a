"""What the Lab does in jobs to quantize: plans of every type first, then the file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localllm.core.downloads.space import free_bytes
from localllm.core.models_folder import require_models_folder
from localllm.core.quantize.fit_to_size import FittedPlan
from localllm.core.quantize.naming import free_name, result_name
from localllm.core.quantize.order import carry_out, foresee
from localllm.core.quantize.pruning import WARNING
from localllm.core.quantize.types import TYPES
from localllm.core.time_left import duration
from localllm.errors import LocalLLMError
from localllm.progress import Progress
from localllm.texts import Bytes, Number, text
from localllm.ui.lab_work import Outcome, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from localllm.core.quantize.job import Quantizer
    from localllm.core.quantize.order import Order
    from localllm.core.quantize.plan import QuantizePlan
    from localllm.ui.services import Services


@dataclass(frozen=True)
class Foreseen:
    """What an order would give.

    Attributes:
        asked: The order as it was asked; `order` has its budget.
        plan: None if it is not possible; `error` says why.
        fitted: The same where a budget was given.
        target: The file that would be written.
        free: Bytes on the disk of the models folder.
    """

    asked: Order
    order: Order
    plan: QuantizePlan | None = None
    fitted: FittedPlan | None = None
    error: LocalLLMError | None = None
    target: Path | None = None
    free: int = 0


class Planner:
    """Makes plans in jobs, with one engine for all of them until `rest`; starting one takes a second."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._quantizer: Quantizer | None = None

    def foresee_all(
        self, orders: Sequence[Order], context: int | None, progress: Progress
    ) -> Iterator[Foreseen]:
        """Yield a plan for each order, all of one model.

        Args:
            orders: The one that matters first.
            context: Tokens with which the result is to run here; None if that is not what is wanted.
            progress: Cancels, between two plans.

        Raises:
            LocalLLMError: The model cannot be read.
        """
        with self._lock:
            quantizer = self._ready(orders[0].model, progress)
            for order in orders:
                progress.raise_if_cancelled()
                yield self._foresee(order, quantizer, context, progress)

    def rest(self) -> None:
        """End the engine."""
        with self._lock:
            if self._quantizer is not None:
                self._quantizer.close()
                self._quantizer = None

    def _ready(self, model: Path, progress: Progress) -> Quantizer:
        if self._quantizer is None or self._quantizer.source.path != model:
            from localllm.core.quantize.job import Quantizer
            from localllm.core.quantize.source import open_source

            source = open_source(model, progress)
            if self._quantizer is not None:
                self._quantizer.close()
            self._quantizer = Quantizer(source)
        return self._quantizer

    def _foresee(
        self, asked: Order, quantizer: Quantizer, context: int | None, progress: Progress
    ) -> Foreseen:
        order, folder = asked, self._services.paths.models
        free = free_bytes(folder)
        try:
            if context is not None:
                order = replace(asked, budget=_budget_here(self._services, quantizer, context))
            # one plan is not worth ending the engine for, the many of a budget are
            stop = progress if order.budget is not None else Progress()
            planned = foresee(order, quantizer, stop)
        except LocalLLMError as error:
            return Foreseen(asked, order, error=error, free=free)
        fitted = planned if isinstance(planned, FittedPlan) else None
        plan = planned.plan if isinstance(planned, FittedPlan) else planned
        name = result_name(quantizer.source, plan.wish.type, len(plan.wish.prune_layers))
        return Foreseen(asked, order, plan, fitted, target=free_name(folder, name), free=free)


def orders_of_types(order: Order) -> list[Order]:
    """Return the same order for every type, its own first."""
    kinds = sorted(TYPES.values(), key=lambda kind: kind != order.wish.type)
    return [replace(order, wish=replace(order.wish, type=kind)) for kind in kinds]


def quantize_task(services: Services, name: str, order: Order) -> Task:
    """Return the task that carries an order out."""
    if order.budget is not None:
        title = text("{name} to fit into {size}", name=name, size=Bytes(order.budget))
    else:
        title = text("{name} to {type}", name=name, type=order.wish.type.name)
    return Task(title, lambda progress: _quantize(services, order, progress))


def _budget_here(services: Services, quantizer: Quantizer, context: int) -> int:
    from localllm.core.fit import FitSettings
    from localllm.core.quantize.device_budget import device_budget

    machine = services.session.probe_without_model()
    return device_budget(machine, quantizer.source, FitSettings(context))


def _quantize(services: Services, order: Order, progress: Progress) -> Outcome:
    from localllm.core.engine_work import EngineWork

    require_models_folder(services.paths)
    work = EngineWork.here(services.paths)
    made = carry_out(order, services.paths.models, work, services.library, progress)
    sentences = [
        text(
            "{name}: {size}, {bits} bits per weight, made in {time}.",
            name=made.result.path.name,
            size=Bytes(made.result.size),
            bits=Number(made.result.bits_per_weight, 2),
            time=duration(made.result.seconds),
        )
    ]
    if made.plan.wish.prune_layers:
        layers = ", ".join(map(str, made.plan.wish.prune_layers))
        count = made.plan.source.layers
        sentences += [text("Left out: layers {layers} of {count}.", layers=layers, count=count), WARNING]
    return Outcome(tuple(sentences), made.model)
