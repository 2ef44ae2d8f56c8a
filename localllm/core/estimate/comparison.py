"""Compares what a load was predicted to take with what it took."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psutil

from localllm.core.estimate.estimator import backend_of, place_of
from localllm.core.estimate.loads import Load
from localllm.core.estimate.records import HOST
from localllm.core.fit.memory import work_bytes
from localllm.core.fit.placement import driver_share, growth

if TYPE_CHECKING:
    from localllm.core.estimate.records import Estimate
    from localllm.core.machine import Gpu, Machine
    from localllm.engine.protocol import LoadedModel


MOST_DRIVERS = 3  # times what is assumed of drivers before anything was measured


def compare(
    predicted: Estimate, loaded: LoadedModel, pid: int, before: Machine, after: Machine
) -> Load | None:
    """Return what was used beside what was predicted; None where the system does not tell.

    None too where another program took or gave back a GPU's memory meanwhile: nothing can be learned then.

    Used are llama.cpp's buffers, the engine's process besides them (libraries, vocabulary, the process of
    the chat template), and what drivers took on discrete GPUs: how much less is free there than before.

    Args:
        predicted: For the very settings.
        loaded: What the engine says it allocated.
        pid: The engine's process.
        before: This computer right before the load.
        after: And right after it.
    """
    if not loaded.overhead:
        return None
    on_gpus = sum(
        entry.weights + entry.kv + entry.compute for entry in loaded.buffers if entry.device != HOST
    )
    names = before.engine_gpus
    drivers = _free_on_gpus(before) - _free_on_gpus(after) - on_gpus
    own_memory = names and predicted.budgets.gpus and not predicted.budgets.unified
    if own_memory and not 0 <= drivers <= _most_of_drivers(predicted):
        return None
    drivers = max(0, drivers)
    overhead = loaded.overhead + _template_process(pid)
    buffers = sum(entry.weights + entry.kv + entry.compute + entry.output for entry in loaded.buffers)
    return Load(
        place=place_of(before),
        backend=backend_of(names) if names else HOST,
        model=predicted.subject.key,
        name=predicted.subject.name,
        vocabulary=predicted.subject.vocabulary,
        predicted=predicted.memory.total - _not_yet(predicted, len(names) if on_gpus else 0),
        used=buffers + overhead + drivers,
        host_overhead=overhead,
        gpu_overhead=drivers,
    )


def given_back(machine: Machine, loaded: LoadedModel) -> Machine:
    """Count as free what a model that is loaded there would give back.

    Weights in main memory are left out: where they are mapped from the file they count as available already.
    """
    on_host = sum(e.kv + e.compute + e.output for e in loaded.buffers if e.device == HOST) + loaded.overhead
    on_gpus = sum(e.weights + e.kv + e.compute + e.output for e in loaded.buffers if e.device != HOST)
    memory = machine.memory
    available = min(memory.available + on_host, memory.limit or memory.total)
    gpus: list[Gpu] = []
    for gpu in machine.gpus:
        taken = (gpu.memory_total or 0) - (gpu.memory_free or 0) if gpu.kind == "discrete" else 0
        back = min(taken, on_gpus) if gpu.memory_free is not None else 0
        on_gpus -= back
        gpus.append(replace(gpu, memory_free=gpu.memory_free + back) if gpu.memory_free is not None else gpu)
    return replace(machine, memory=replace(memory, available=available), gpus=tuple(gpus))


def _not_yet(predicted: Estimate, gpus: int) -> int:
    """Return what a full batch and a full context will take besides, which no load takes yet."""
    shape, settings = predicted.subject.shape, predicted.settings
    plain = replace(settings, kv_type_k="f16", kv_type_v="f16")
    return (work_bytes(shape, settings) if shape else 0) + growth(gpus, shape, plain)


def _most_of_drivers(predicted: Estimate) -> int:
    """Return more than drivers can have taken for this model, in bytes."""
    return MOST_DRIVERS * driver_share(predicted.budgets.gpus, predicted.subject.shape, predicted.settings)


def _free_on_gpus(machine: Machine) -> int:
    return sum(gpu.memory_free or 0 for gpu in machine.gpus if gpu.kind == "discrete")


def _template_process(pid: int) -> int:
    """Return what the engine's own child takes that is not shared."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return sum(child.memory_full_info().uss for child in children)
    except psutil.Error:
        return 0
