"""Finds where a model goes by asking llama.cpp: on the GPU, with experts or some layers on the CPU, or there.

The order is that of the closed form (`core.fit.placement`). A search for a number of layers begins with a
guess: the closed form's, for experts the bytes of each layer.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.core.estimate.records import HOST, DeviceMemory, Estimate
from localllm.core.fit import (
    FITS_NOW,
    MemoryEstimate,
    Placement,
    Placing,
    budgets_of,
    place_within,
    verdict_of,
)
from localllm.core.fit.memory import RUNTIME, work_bytes
from localllm.core.fit.placement import HOST_RUNTIME_WITH_GPU, LEAST_SHARE
from localllm.engine.protocol import DryRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localllm.core.estimate.dry_runs import DryRuns
    from localllm.core.estimate.records import Question
    from localllm.core.fit.placement import PlacementKind
    from localllm.engine.protocol import DeviceBuffers
    from localllm.progress import Progress

Overheads = tuple[int | None, int | None, int]  # the engine's without a GPU, with one; the drivers'


class ExactPlaces:
    """One question, asked of dry runs."""

    def __init__(
        self, question: Question, dry_runs: DryRuns, overheads: Overheads, progress: Progress | None
    ) -> None:
        self._question = question
        self._dry_runs = dry_runs
        self._alone, self._beside_gpu, self._drivers = overheads
        self._progress = progress
        self._budgets = budgets_of(question.machine)
        self._gpus = question.machine.engine_gpus

    def best(self) -> Estimate | None:
        """Return the first place that fits now, else after other programs are closed; None: no dry run."""
        last: Estimate | None = None
        for closed in (False, True):
            for place in self._candidates(closed=closed):
                if place is None:
                    return None
                last = place
                if self._fits(place, closed=closed):
                    return place
        return last

    def chosen(self, placing: Placing) -> Estimate | None:
        """Return the estimate of a place that somebody has chosen."""
        return self._measure(placing if self._gpus else Placing(0))

    def _candidates(self, *, closed: bool) -> Iterator[Estimate | None]:
        subject = self._question.subject
        if self._gpus and self._budgets.gpus:
            yield self._measure(Placing(subject.layers + 1))
            if self._budgets.unified:
                return
            if subject.experts and self._question.placing is None:
                yield self._with_experts_on_cpu(closed=closed)
            layers = self._most_layers(closed=closed)
            if layers:
                yield self._measure(Placing(layers))
        yield self._measure(Placing(0))

    def _with_experts_on_cpu(self, *, closed: bool) -> Estimate | None:
        """Leave the experts of as few layers in main memory as must be, of all if even that is too much."""
        subject = self._question.subject
        layers = subject.layers

        def measure(on_gpu: int) -> Estimate | None:
            return self._measure(Placing(layers + 1, layers - on_gpu))

        def fits(on_gpu: int) -> bool:
            place = measure(on_gpu)
            return place is not None and self._fits_gpus(place, closed=closed)

        none = measure(0)
        if none is None or not self._fits_gpus(none, closed=closed):
            return none
        gpu = self._budgets.gpu
        room = (gpu.closed if closed else gpu.now) - none.placement.gpu_bytes
        sizes = itertools.accumulate(reversed(subject.of_experts))
        found = search_most(fits, 1, layers - 1, sum(size <= room for size in sizes))
        return measure(found) if found else none

    def _fits(self, place: Estimate, *, closed: bool) -> bool:
        """Whether it fits."""
        host = self._budgets.host
        if place.placement.host_bytes > (host.closed if closed else host.now):
            return False
        return self._fits_gpus(place, closed=closed)

    def _fits_gpus(self, place: Estimate, *, closed: bool) -> bool:
        """Whether each of several GPUs holds its own part, for layers cannot be divided."""
        budgets = self._budgets
        if place.placement.gpu_bytes > (budgets.gpu.closed if closed else budgets.gpu.now):
            return False
        if len(budgets.each) != len(self._gpus):
            return True
        held = {device.device: device.total for device in place.devices}
        return all(
            held.get(name, 0) <= (amount.closed if closed else amount.now)
            for name, amount in zip(self._gpus, budgets.each, strict=True)
        )

    def _most_layers(self, *, closed: bool) -> int | None:
        layers = self._question.subject.layers

        def fits(count: int) -> bool:
            place = self._measure(Placing(count))
            return place is not None and self._fits(place, closed=closed)

        return search_most(fits, max(2, int(LEAST_SHARE * layers) + 1), layers, self._guess())

    def _guess(self) -> int:
        subject = self._question.subject
        if subject.shape is None:
            return (subject.layers + 1) // 2
        placement, _, _ = place_within(self._budgets, subject.shape, subject.weights, self._question.settings)
        return placement.gpu_layers

    def _measure(self, placing: Placing) -> Estimate | None:
        settings = self._dry_run(placing)
        buffers = self._ask(settings)
        if buffers is None and settings.extra_buffers:  # the loader too goes on without that weight layout
            buffers = self._ask(replace(settings, extra_buffers=False))
        return self._estimate(placing, buffers) if buffers else None

    def _ask(self, settings: DryRun) -> tuple[DeviceBuffers, ...] | None:
        return self._dry_runs.measure(self._question.subject, settings, self._gpus, self._progress)

    def _dry_run(self, placing: Placing) -> DryRun:
        settings = self._question.settings
        return DryRun(
            context_length=settings.context_length,
            batch=settings.batch,
            ubatch=settings.ubatch,
            sequences=settings.sequences,
            outputs_max=settings.outputs_max,
            swa_full=settings.swa_full,
            embeddings=settings.embeddings,
            flash_attention=settings.flash_attention,
            kv_type_k=settings.kv_type_k,
            kv_type_v=settings.kv_type_v,
            gpu_layers=placing.gpu_layers,
            experts_layers_on_cpu=placing.experts_layers_on_cpu,
            extra_buffers=self._question.extra_buffers,
        )

    def _estimate(self, placing: Placing, buffers: tuple[DeviceBuffers, ...]) -> Estimate:
        buffers = _with_adapters(buffers, self._question.adapters)
        devices = tuple(self._device(entry, on_gpu=placing.gpu_layers > 0) for entry in buffers)
        devices = tuple(device for device in devices if device.device == HOST or device.total)
        host = next(device.total for device in devices if device.device == HOST)
        kind = self._kind(placing)
        on_gpus = sum(device.total for device in devices) - host
        placement = Placement(kind, placing.gpu_layers, on_gpus, host, placing.experts_layers_on_cpu)
        if kind == "unified":
            overhead = self._beside_gpu or RUNTIME
            placement = replace(
                placement, gpu_bytes=placement.gpu_bytes + host - overhead, host_bytes=overhead
            )
        memory = _sum_up(devices)
        question = self._question
        found = Estimate(
            question.subject, question.settings, memory, devices, placement,
            verdict_of(self._budgets, placement), self._budgets,
        )  # fmt: skip
        if found.verdict in FITS_NOW and not self._fits(found, closed=False):
            return replace(found, verdict="needs_closing_apps")
        if found.verdict == "needs_closing_apps" and not self._fits(found, closed=True):
            return replace(found, verdict="does_not_fit")
        return found

    def _kind(self, placing: Placing) -> PlacementKind:
        if not placing.gpu_layers:
            return "cpu"
        if self._budgets.unified:
            return "unified"
        layers = self._question.subject.layers
        if placing.experts_layers_on_cpu > max(0, layers - placing.gpu_layers + 1):
            return "experts_on_cpu"
        return "gpu" if placing.gpu_layers > layers else "partly_gpu"

    def _device(self, entry: DeviceBuffers, *, on_gpu: bool) -> DeviceMemory:
        if entry.device != HOST:  # large batches go there even if no layer is
            computes = on_gpu or entry.compute
            overhead = self._drivers // len(self._gpus) if computes else 0
        elif on_gpu:
            overhead = self._beside_gpu or (RUNTIME if self._budgets.unified else HOST_RUNTIME_WITH_GPU)
        else:
            overhead = self._alone or RUNTIME
        if entry.device == HOST and self._question.subject.shape:
            overhead += work_bytes(self._question.subject.shape, self._question.settings)
        parts = (entry.weights, entry.kv, entry.compute, entry.output, overhead)
        return DeviceMemory(entry.device, sum(parts), *parts)


def search_most(fits: Callable[[int], bool], low: int, high: int, guess: int) -> int | None:
    """Return the largest count from `low` to `high` that fits, None if none does.

    What fits, fits with less. The search gallops away from the guess, then halves.
    """
    good, bad, step = low - 1, high + 1, 1
    probe = min(max(guess, low), high)
    while bad - good > 1:
        if fits(probe):
            good, probe = probe, probe + step
        else:
            bad, probe = probe, probe - step
        step *= 2
        if good >= low and bad <= high:
            probe = (good + bad) // 2
        probe = min(max(probe, good + 1), bad - 1)
    return good if good >= low else None


def _with_adapters(buffers: tuple[DeviceBuffers, ...], size: int) -> tuple[DeviceBuffers, ...]:
    """Count adapters where llama.cpp puts them: each part beside the weight that it changes."""
    whole = sum(entry.weights for entry in buffers)
    if not size or not whole:
        return buffers
    return tuple(replace(entry, weights=entry.weights + size * entry.weights // whole) for entry in buffers)


def _sum_up(devices: tuple[DeviceMemory, ...]) -> MemoryEstimate:
    def total(part: str) -> int:
        return sum(getattr(device, part) or 0 for device in devices)

    return MemoryEstimate(
        total("weights"), total("kv"), total("compute"), total("output"), total("overhead"), "exact"
    )
