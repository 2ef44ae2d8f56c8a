"""Where a model goes: all on the GPU, experts or some layers on the CPU, or all on the CPU.

The first of these that fits now is taken; otherwise the first that fits after other programs are
closed. llama.cpp's rules are followed: the token embedding stays in main memory, and a model whose output
is its embedding has a second copy of it on the GPU; layers go to the GPU from the last one back. Experts
stay in main memory from the first layer on, of as few layers as must be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from localllm.core.fit.budgets import Budgets, budgets_of
from localllm.core.fit.memory import MIB, estimate_memory, input_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.core.fit.memory import FitSettings, MemoryEstimate
    from localllm.core.machine import Gpu, Machine
    from localllm.core.shape import ModelShape

PlacementKind = Literal["gpu", "partly_gpu", "experts_on_cpu", "cpu", "unified"]
Verdict = Literal["fits", "tight", "needs_closing_apps", "partly_on_cpu", "does_not_fit"]
FITS_NOW: tuple[Verdict, ...] = ("fits", "tight", "partly_on_cpu")

TIGHT = 0.92  # of a budget
HOST_RUNTIME_WITH_GPU = 300 * MIB  # measured 230 (dense) to 340 MiB private on an H100
LARGER_TYPE = 1.4  # Q6_K against the mean of a Q4_K_M file, which has it for half of the down projections
AMX_8_BIT, AMX_4_BIT = 38 / 34, 148 / 144
PIPELINE_COPIES = 3  # besides the first: several GPUs work on four batches at a time (GGML_SCHED_MAX_COPIES)
LEAST_SHARE = 0.1  # of the layers on the GPU, or it is not worth the trouble
PLAIN_CACHE = ("f32", "f16", "bf16")
METAL_CONTEXT, OTHER_CONTEXT, LARGEST_CONTEXT = 64 * MIB, 200 * MIB, 527 * MIB


@dataclass(frozen=True)
class Placement:
    """Where the parts of a model are; `gpu_layers` as llama.cpp counts them (the output is one more).

    Of the first `experts_layers_on_cpu` layers the experts are in main memory, wherever their layer is.
    """

    kind: PlacementKind
    gpu_layers: int
    gpu_bytes: int
    host_bytes: int
    experts_layers_on_cpu: int = 0


@dataclass(frozen=True)
class Placing:
    """A place that somebody has chosen, as llama.cpp counts layers.

    -1 GPU layers are as many as fit, their experts with them.
    """

    gpu_layers: int
    experts_layers_on_cpu: int = 0


@dataclass(frozen=True)
class _Job:
    """One question: a model, its parts, what the drivers take, and what a batch brings to each device.

    Attributes:
        of_experts: Bytes of each layer's experts; () where only the model's dimensions are known.
    """

    shape: ModelShape
    base: MemoryEstimate
    budgets: Budgets
    driver: int
    inputs: int
    of_experts: tuple[int, ...] = ()

    @property
    def embedding(self) -> int:
        return int(self.base.weights * self.shape.embedding_parameters / max(1, self.shape.parameters))

    @property
    def experts(self) -> int:
        return self.experts_before(self.shape.layers)

    def experts_before(self, layer: int) -> int:
        """Return the bytes of the experts of the layers before this one."""
        if self.of_experts:
            return sum(self.of_experts[: max(0, layer)])
        every = int(self.base.weights * self.shape.expert_parameters / max(1, self.shape.parameters))
        return int(every * self.shape.expert_share(layer))


def place(
    machine: Machine, shape: ModelShape, weights: int, settings: FitSettings
) -> tuple[Placement, MemoryEstimate, Verdict]:
    """Find the place of a model on a machine.

    Returns:
        The placement, the memory in parts (all devices together), and the verdict.
    """
    return place_within(budgets_of(machine), shape, weights, settings)


def place_within(
    budgets: Budgets,
    shape: ModelShape,
    weights: int,
    settings: FitSettings,
    of_experts: tuple[int, ...] = (),
    *,
    move_experts: bool = True,
) -> tuple[Placement, MemoryEstimate, Verdict]:
    """Do what `place` does, for budgets that are already known.

    Args:
        budgets: What there is.
        shape: Of the model.
        weights: Bytes.
        settings: Of its context.
        of_experts: Bytes of each layer's experts, where they are known.
        move_experts: Whether experts may be in main memory without their layers.
    """
    job = _job(budgets, shape, weights, settings, of_experts)
    last: tuple[Placement, MemoryEstimate] | None = None
    for closed in (False, True):
        gpu = budgets.gpu.closed if closed else budgets.gpu.now
        host = budgets.host.closed if closed else budgets.host.now
        for placement, memory in _candidates(job, gpu, move_experts=move_experts):
            last = placement, memory
            if placement.gpu_bytes <= gpu and placement.host_bytes <= host:
                return placement, memory, _verdict(placement, gpu, host, closed=closed)
    if last is None:
        raise AssertionError("there is always the CPU")
    return *last, "does_not_fit"


def place_as(
    budgets: Budgets,
    shape: ModelShape,
    weights: int,
    settings: FitSettings,
    wish: Placing,
    of_experts: tuple[int, ...] = (),
) -> tuple[Placement, MemoryEstimate, Verdict]:
    """Do what `place_within` does, for a place that somebody has chosen."""
    if wish.gpu_layers < 0:
        return place_within(budgets, shape, weights, settings, of_experts, move_experts=False)
    placement, memory = _as_wished(_job(budgets, shape, weights, settings, of_experts), wish)
    return placement, memory, verdict_of(budgets, placement)


def _job(
    budgets: Budgets, shape: ModelShape, weights: int, settings: FitSettings, of_experts: tuple[int, ...]
) -> _Job:
    base = estimate_memory(shape, weights, settings, budgets.engine)
    drivers = driver_share(budgets.gpus, shape, settings)
    return _Job(shape, base, budgets, drivers, input_bytes(shape, settings), of_experts)


def _as_wished(job: _Job, wish: Placing) -> tuple[Placement, MemoryEstimate]:
    if job.budgets.unified:
        return _unified(job)
    if not job.budgets.gpus or not wish.gpu_layers:
        return _all_on_cpu(job)
    full, memory = _all_on_gpu(job)
    layers = job.shape.layers
    moved = min(wish.experts_layers_on_cpu, layers) if job.shape.experts else 0
    if wish.gpu_layers > layers and not moved:
        return full, memory
    memory = replace(memory, compute=_compute_beside_cpu(job))
    if wish.gpu_layers > layers:
        return _experts_on_cpu(job, moved, full, memory), memory
    place = _with_layers(job, wish.gpu_layers - 1, full, memory)
    on_cpu = layers - wish.gpu_layers + 1
    return (_without_experts(job, on_cpu, moved, place) if moved > on_cpu else place), memory


def verdict_of(budgets: Budgets, placement: Placement) -> Verdict:
    """Say whether something that is in this place fits."""
    for closed in (False, True):
        gpu = budgets.gpu.closed if closed else budgets.gpu.now
        host = budgets.host.closed if closed else budgets.host.now
        if placement.gpu_bytes <= gpu and placement.host_bytes <= host:
            return _verdict(placement, gpu, host, closed=closed)
    return "does_not_fit"


def _verdict(placement: Placement, gpu: int, host: int, *, closed: bool) -> Verdict:
    if closed:
        return "needs_closing_apps"
    if placement.kind in ("partly_gpu", "experts_on_cpu"):
        return "partly_on_cpu"
    return "tight" if placement.gpu_bytes > TIGHT * gpu or placement.host_bytes > TIGHT * host else "fits"


def driver_share(gpus: tuple[Gpu, ...], shape: ModelShape | None, settings: FitSettings) -> int:
    """Return what drivers and kernels take on the GPUs besides llama.cpp's buffers.

    A CUDA context takes 527 MiB on an H100 and 120 MiB on an RTX 4060 (it grows with the chip); the first
    decode takes 76 to 105 MiB more, with experts or without flash attention 180 to 239 (measured). A
    quantized cache is unpacked for attention, one layer at a time. Without flash attention the scores of a
    batch are stored once more in half precision (measured 415 MiB for 8B at 8192 tokens).
    """
    kernels = 128 * MIB if shape and not shape.experts and settings.flash_attention else 256 * MIB
    if shape and (settings.kv_type_k not in PLAIN_CACHE or settings.kv_type_v not in PLAIN_CACHE):
        kernels += 2 * shape.kv_heads * (shape.key_length + shape.value_length) * settings.context_length
    return sum(_context(gpu) + kernels + _score_copies(shape, settings) for gpu in gpus)


def growth(gpus: int, shape: ModelShape | None, settings: FitSettings) -> int:
    """Return by how much that grows from right after a load until the context is full.

    Measured on an H100: 20 to 40 MiB, with experts up to 110 for the pool of temporary buffers.
    """
    pool = 64 * MIB if shape and not shape.experts and settings.flash_attention else 160 * MIB
    return gpus * (pool + _score_copies(shape, settings))


def _score_copies(shape: ModelShape | None, settings: FitSettings) -> int:
    """Return the scores in half precision that attention without flash attention keeps."""
    if shape is None or settings.flash_attention:
        return 0
    return 2 * settings.ubatch * shape.heads * settings.context_length // settings.sequences


def _context(gpu: Gpu) -> int:
    if gpu.vendor == "NVIDIA":
        return min(LARGEST_CONTEXT, 150 * MIB + (gpu.memory_total or 0) // 64)
    return METAL_CONTEXT if gpu.vendor == "Apple" else OTHER_CONTEXT


def _candidates(job: _Job, gpu: int, *, move_experts: bool) -> Iterator[tuple[Placement, MemoryEstimate]]:
    if job.budgets.unified:
        yield _unified(job)
    elif job.budgets.gpus:
        full, memory = _all_on_gpu(job)
        yield full, memory
        memory = replace(memory, compute=_compute_beside_cpu(job))
        if job.shape.experts and move_experts:
            yield _fewest_experts_on_cpu(job, gpu, full, memory), memory
        partly = _partly(job, gpu, full, memory)
        if partly:
            yield partly, memory
    yield _all_on_cpu(job)


def _all_on_cpu(job: _Job) -> tuple[Placement, MemoryEstimate]:
    memory = job.base
    if job.budgets.layout != "plain":
        memory = replace(memory, weights=_packed(job))
    return Placement("cpu", 0, 0, memory.total), memory


def _packed(job: _Job) -> int:
    """Return the weights as the engine packs them for this CPU.

    An output matrix that is also the embedding is stored twice then. AMX tiles add four bytes to each block:
    measured by dry run 11.8 % for Q8_0, 1.5 to 2.8 % for Q4_K, Q5_K and IQ4_XS, none for Q6_K; experts stay.
    """
    output = job.embedding if job.shape.copies_embedding else 0
    packed = job.base.weights - job.experts - job.embedding + output
    bits = 8 * job.base.weights / max(1, job.shape.parameters)
    if job.budgets.layout == "amx":
        packed = int(packed * (AMX_8_BIT if 8 <= bits < 9 else AMX_4_BIT if bits < 6 else 1))
    return job.embedding + job.experts + packed


def _unified(job: _Job) -> tuple[Placement, MemoryEstimate]:
    engine = job.base.overhead
    memory = replace(job.base, overhead=engine + job.driver)
    return Placement("unified", job.shape.layers + 1, memory.total - engine, engine), memory


def _all_on_gpu(job: _Job) -> tuple[Placement, MemoryEstimate]:
    base, devices = job.base, len(job.budgets.gpus)
    copy = job.embedding if job.shape.copies_embedding else 0
    memory = replace(
        base,
        weights=base.weights + copy,
        compute=(base.compute + (PIPELINE_COPIES if devices > 1 else 0) * job.inputs) * devices,
        overhead=HOST_RUNTIME_WITH_GPU + job.driver,
    )
    host = job.embedding + base.output + HOST_RUNTIME_WITH_GPU
    return Placement("gpu", job.shape.layers + 1, memory.total - host, host), memory


def _fewest_experts_on_cpu(job: _Job, gpu: int, full: Placement, memory: MemoryEstimate) -> Placement:
    """Leave the experts of as few layers in main memory as must be, of all if even that is too much."""
    layers = job.shape.layers
    room = gpu - _experts_on_cpu(job, layers, full, memory).gpu_bytes
    least = (count for count in range(1, layers) if job.experts - job.experts_before(count) <= room)
    return _experts_on_cpu(job, next(least, layers), full, memory)


def _experts_on_cpu(job: _Job, layers: int, full: Placement, memory: MemoryEstimate) -> Placement:
    whole = replace(full, gpu_bytes=memory.total - full.host_bytes)
    return _without_experts(job, 0, layers, whole)


def _without_experts(job: _Job, first: int, end: int, place: Placement) -> Placement:
    """Move the experts of these layers, which are on the GPU, to main memory; those before are there."""
    moved = job.experts_before(end) - job.experts_before(first)
    return Placement(
        "experts_on_cpu", place.gpu_layers, place.gpu_bytes - moved, place.host_bytes + moved, end
    )


def _compute_beside_cpu(job: _Job) -> int:
    """Return the compute buffers with room for copies of what stays on the host: a matrix, a layer's cache.

    Measured on an H100: 20 to 36 MiB (dense), 134 to 154 MiB (experts) more than with all of it on the GPU.
    """
    shape = job.shape
    widest = max(shape.feed_forward, LARGER_TYPE * shape.experts * shape.expert_feed_forward)
    matrix = shape.embedding_width * widest * job.base.weights / max(1, shape.parameters)
    return job.base.compute * len(job.budgets.gpus) + int(matrix + job.base.kv / shape.layers)


def _partly(job: _Job, gpu: int, full: Placement, memory: MemoryEstimate) -> Placement | None:
    """Put as many layers on the GPU as fit."""
    layers = job.shape.layers
    layer = _layer_bytes(job)
    count = min(layers - 1, int((gpu - _fixed_on_gpu(job, memory)) / layer)) if layer > 0 else 0
    return _with_layers(job, count, full, memory) if count >= LEAST_SHARE * layers else None


def _layer_bytes(job: _Job) -> float:
    """Return the weights and the cache of one layer."""
    embeddings = job.embedding * (1 if job.shape.tied_embeddings else 2)
    return (job.base.weights - embeddings + job.base.kv) / job.shape.layers


def _fixed_on_gpu(job: _Job, memory: MemoryEstimate) -> int:
    """Return what is on the GPU with any number of layers; the output is as large as the embedding."""
    return memory.compute + job.driver + job.embedding


def _with_layers(job: _Job, count: int, full: Placement, memory: MemoryEstimate) -> Placement:
    layer = _layer_bytes(job)
    on_gpu = _fixed_on_gpu(job, memory) + int(count * layer)
    on_host = full.host_bytes + int((job.shape.layers - count) * layer)
    return Placement("partly_gpu", count + 1, on_gpu, on_host)
