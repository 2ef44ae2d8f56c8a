"""A whole quantization as somebody orders it: measured first, planned, written, tried and put on the list.

Light to import; what carries an order out is imported when that is done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localllm.core.quantize.fit_to_size import FittedPlan, fit_to_size
from localllm.core.quantize.naming import free_name, register, result_name
from localllm.core.quantize.pruning import (
    LayerInfluence,
    check_layers,
    check_prunable,
    choose_layers,
    measure_influence,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from localllm.core.engine_work import EngineWork
    from localllm.core.imatrix import TextChoice
    from localllm.core.library import Library, LibraryModel
    from localllm.core.quantize.job import Quantized, Quantizer
    from localllm.core.quantize.plan import QuantizePlan, Wish
    from localllm.core.quantize.source import SourceModel
    from localllm.progress import Progress


@dataclass(frozen=True)
class Order:
    """What somebody wants of a model.

    Attributes:
        model: Its first file.
        wish: The type is found later where there is a budget.
        imatrix_text: What an importance matrix is to be made from; None if none is to be made.
        imatrix_file: One that is there already.
        imatrix_label: What the result says of it; its name if empty.
        leave_out: How many layers to leave out, those that matter least; `wish.prune_layers` names them.
        budget: Bytes that the file may have.
    """

    model: Path
    wish: Wish
    imatrix_text: TextChoice | None = None
    imatrix_file: Path | None = None
    imatrix_label: str = ""
    leave_out: int = 0
    budget: int | None = None


@dataclass(frozen=True)
class Made:
    """What came of an order."""

    plan: QuantizePlan
    result: Quantized
    model: LibraryModel


@dataclass(frozen=True)
class _StandIn:
    """An importance matrix that is still to be made, as a plan needs it: which tensors it will speak of."""

    entries: dict[str, NDArray[np.float32]]
    datasets: tuple[str, ...] = ()
    chunks: int = 0


def foresee(order: Order, quantizer: Quantizer, progress: Progress) -> QuantizePlan | FittedPlan:
    """Say what an order would give; nothing is measured or written.

    Where layers are still to be chosen, others stand for them: layers are of one size.

    Raises:
        QuantizationRefused: It is not possible.
        UsageError: The importance matrix or a layer is not there.
    """
    from localllm.core.imatrix import read_imatrix

    source, wish = quantizer.source, order.wish
    if order.imatrix_file is not None:
        wish = replace(wish, importance=read_imatrix(order.imatrix_file))
    elif order.imatrix_text is not None:
        wish = replace(wish, importance=_stand_in(source))
    if order.leave_out:
        check_prunable(source, order.leave_out)
        wish = replace(wish, prune_layers=choose_layers(source, _as_they_come(source), order.leave_out))
    if wish.prune_layers:
        check_layers(source, wish.prune_layers)
    return plan_of(order, wish, quantizer, progress)


def carry_out(order: Order, folder: Path, work: EngineWork, library: Library, progress: Progress) -> Made:
    """Do what was ordered.

    Args:
        order: What is wanted.
        folder: Where the result is put, under a name that is free.
        work: Loads the model for what has to be measured.
        library: Gets the result.
        progress: Cancels; nothing unfinished is left.

    Raises:
        QuantizationRefused: It is not possible.
        BrokenResult: The result does not work; it was removed.
        LocalLLMError: The model, a text or an importance matrix cannot be read.
        Cancelled: Through `progress`.
    """
    from localllm.core.quantize.job import Quantizer
    from localllm.core.quantize.source import open_source
    from localllm.core.smoke_test import smoke_test

    source = open_source(order.model, progress)
    wish = measured_wish(order, source, work, progress)
    with Quantizer(source, smoke_test) as quantizer:
        planned = plan_of(order, wish, quantizer, progress)
        plan = planned.plan if isinstance(planned, FittedPlan) else planned
        name = result_name(source, plan.wish.type, len(plan.wish.prune_layers))
        result = quantizer.write(plan, free_name(folder, name), progress)
    return Made(plan, result, register(library, plan, result, progress))


def measured_wish(
    order: Order,
    source: SourceModel,
    work: EngineWork,
    progress: Progress,
    on_ranked: Callable[[tuple[LayerInfluence, ...]], None] | None = None,
) -> Wish:
    """Return the wish of an order with what is measured for it: layers to leave out, importance matrix.

    `on_ranked` is told what each layer changes.

    Raises:
        QuantizationRefused: It is not possible.
        LocalLLMError: The model, a text or an importance matrix cannot be read.
        Cancelled: Through `progress`.
    """
    wish = _with_layers(order, source, work, progress, on_ranked)
    return _with_importance(order, wish, work, progress)


def plan_of(order: Order, wish: Wish, quantizer: Quantizer, progress: Progress) -> QuantizePlan | FittedPlan:
    """Plan what was ordered, with what was measured for it; with a budget, find the best that fits.

    Raises:
        QuantizationRefused: It is not possible.
        Cancelled: Through `progress`.
    """
    if order.budget is None:
        return quantizer.plan(wish, progress)
    return fit_to_size(quantizer.source, wish, order.budget, lambda one: quantizer.plan(one, progress))


def _with_layers(
    order: Order,
    source: SourceModel,
    work: EngineWork,
    progress: Progress,
    on_ranked: Callable[[tuple[LayerInfluence, ...]], None] | None,
) -> Wish:
    from localllm.core.imatrix import bundled_text

    wish = order.wish
    if order.leave_out:
        check_prunable(source, order.leave_out)
        ranked = measure_influence(work, source, bundled_text("both").content, progress)
        if on_ranked is not None:
            on_ranked(ranked)
        wish = replace(wish, prune_layers=choose_layers(source, ranked, order.leave_out))
    if wish.prune_layers:
        check_layers(source, wish.prune_layers)
    return wish


def _with_importance(order: Order, wish: Wish, work: EngineWork, progress: Progress) -> Wish:
    from localllm.core.imatrix import ImatrixWish, make_imatrix, read_imatrix

    if order.imatrix_file is not None:
        label = order.imatrix_label or order.imatrix_file.name
        return replace(wish, importance=read_imatrix(order.imatrix_file), importance_label=label)
    if order.imatrix_text is None:
        return wish
    made = make_imatrix(work, ImatrixWish(order.model, order.imatrix_text), progress)
    return replace(wish, importance=made.matrix, importance_label=made.path.name)


def _stand_in(source: SourceModel) -> _StandIn:
    import numpy as np

    nothing = np.zeros(1, np.float32)
    return _StandIn({tensor.name: nothing for tensor in source.tensors if len(tensor.shape) > 1})


def _as_they_come(source: SourceModel) -> tuple[LayerInfluence, ...]:
    return tuple(LayerInfluence(layer, 0.0) for layer in range(source.layers))
