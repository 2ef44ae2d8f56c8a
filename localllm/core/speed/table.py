"""Speed where nothing was measured on the machine: t = a + bytes / B for each token, summed over the devices.

Bytes are those that one token reads: the active weights, and the cache at a quarter of the context, the
mean of a chat that grows until it fills half; on a CPU the cache's cost more than the weights'. The
constants come from measurements, each named where it stands; without a calibration on this machine the
result is an estimate from tables and its interval is wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.speed.work import Place, cache_work, state_work

if TYPE_CHECKING:
    from localllm.core.fit import FitSettings, Placement
    from localllm.core.machine import Cpu, Gpu, Machine
    from localllm.core.shape import ModelShape

Rates = tuple[float, ...]

GB = 1e9
# CPU, measured on two cores of a Xeon with AVX512-VNNI: 6.4 GB/s of weights per core, 1.9 times that on two;
# 41 GB/s on eight cores of another. Decoding is bound by the cores until the memory is.
CORE_SCALING = 0.926
BYTES_PER_CORE = (
    (("avx512_vnni", "amx_int8"), 6.4 * GB),
    (("avx512f", "avx_vnni", "i8mm"), 5.5 * GB),
    (("avx2", "sve"), 5.0 * GB),
    (("dotprod", "asimddp", "neon_dotprod"), 3.5 * GB),
    (("avx", "neon"), 2.5 * GB),
)
SLOWEST_CORE = 1.5 * GB
APPLE_CORE = 12 * GB
CPU_LAYER = 53e-6  # seconds; 1.6 ms for the 30 layers of SmolLM2 on that Xeon
CPU_CACHE = 3.0  # seconds of a byte of `cache_work` over a weight's: SmolLM2 at 512 and 2048 tokens there
OF_MEASURED_BANDWIDTH = 0.85
SCATTERED = 0.81  # experts lie apart: 0.57 instead of 0.70 of the memory's bandwidth
# files of few bits take longer to unpack: in llama.cpp's tools/quantize/README.md Q3_K_M reaches 0.81 and
# Q2_K 0.71 of the bytes per second of Q4_K_M, IQ4_XS 0.98
EASY_BITS, RATE_PER_BIT, SLOWEST_RATE = 4.7, 0.2, 0.65
UNKNOWN_MEMORY = {"x86_64": 35 * GB, "arm64": 10 * GB}
# GPU, seconds per layer and token: 1.42 ms for 28 layers, 3.42 ms for 48 with experts on an H100
GPU_LAYER, GPU_EXPERT_LAYER = 39e-6, 50e-6
# share of the peak bandwidth; above `knee` bytes/s it falls with that power (H100: 0.57)
_NVIDIA, _OTHER = (0.80, 1100 * GB, 0.3, 1.0), (0.60, 1100 * GB, 0.3, 2.0)
_VENDORS = {
    "NVIDIA": _NVIDIA,
    "Apple": (0.80, 200 * GB, 0.2, 1.5),
    "AMD": (0.65, 1100 * GB, 0.3, 1.3),
}
UNKNOWN_GPU = {"discrete": 200 * GB, "integrated": 50 * GB, "unified": 68 * GB}
FLOPS_PER_BYTE = {"NVIDIA": 130.0, "AMD": 53.0, "Apple": 23.0}  # prompt reading over peak bandwidth
MOST_PROMPT_FLOPS = 150e12
GPU_PROMPT_LAYER = 0.4e-6  # per token: 47,500 tokens/s for 28 layers of 0.6B on an H100
CPU_FLOPS, CPU_PROMPT_LAYER = 130 * GB, 140e-6  # per core
UPLOAD = 12 * GB  # per second over PCIe from pageable memory (17 measured on PCIe 5)
EXPERTS_PROMPT = 0.45  # of the arithmetic a dense model reaches
TABLE, TABLE_UNMEASURED = 0.35, 0.5  # half-widths of the interval


def table_speed(
    machine: Machine, shape: ModelShape, weights: int, placement: Placement, settings: FitSettings
) -> tuple[float, float, float]:
    """Return seconds per token, seconds per token of a prompt, and the half-width of the interval."""
    job = _Job(shape, weights, placement, settings)
    seconds = _gpu_seconds(machine, job) + _cpu_seconds(machine, job)
    return seconds, 1 / _prompt_speed(machine, job), _spread(machine, placement)


def table_rates(machine: Machine, threads: int) -> tuple[Rates, Rates]:
    """Return seconds of each quantity of `work.Work`, CPU then GPU: for written tokens, and for prompts."""
    cores = threads**CORE_SCALING
    byte = 1 / min(bytes_per_core(machine.cpu) * cores, _memory_bandwidth(machine))
    relative = bytes_per_core(machine.cpu) / (6.4 * GB)
    flop = 1 / (CPU_FLOPS * cores * relative)
    cpu = (CPU_LAYER, CPU_LAYER / 2, byte, byte, CPU_CACHE * byte)
    cpu_prompt = (CPU_PROMPT_LAYER / cores / 10, flop, 2 * flop, flop, 4 * flop)
    gpus = [gpu for gpu in machine.gpus if gpu.usable is not False and (gpu.memory_total or gpu.shared_total)]
    if not gpus:
        return (*cpu, *cpu), (*cpu_prompt, *cpu_prompt)
    upload = 1 / (2 * 512 * UPLOAD)  # prompts are computed on the GPU, to which the weights are copied
    cpu_prompt = tuple(min(rate, upload) for rate in cpu_prompt)
    bandwidth, layer = _effective(gpus[0], machine)
    peak = gpus[0].bandwidth or UNKNOWN_GPU[gpus[0].kind]
    flop = 1 / min(MOST_PROMPT_FLOPS, peak * FLOPS_PER_BYTE.get(gpus[0].vendor, 38.0))
    byte = 1 / bandwidth
    gpu = (layer * GPU_LAYER, layer * (GPU_EXPERT_LAYER - GPU_LAYER), byte, byte, byte)
    gpu_prompt = (GPU_PROMPT_LAYER, flop / EXPERTS_PROMPT, flop, flop, 2 * flop)
    return (*cpu, *gpu), (*cpu_prompt, *gpu_prompt)


class _Job:
    """What one token reads, split by device."""

    def __init__(self, shape: ModelShape, weights: int, placement: Placement, settings: FitSettings) -> None:
        self.shape = shape
        self.kind = placement.kind
        self.weights = weights
        self.ubatch = settings.ubatch
        per_weight = weights / max(1, shape.parameters)
        self.rate = min(1.0, max(SLOWEST_RATE, 1 - RATE_PER_BIT * (EASY_BITS - 8 * per_weight)))
        place = Place.of(placement, shape, settings.kv_type_k, settings.kv_type_v)
        depth = settings.context_length / (4 * settings.sequences)
        self.on_gpu, self.experts_on_cpu = place.on_gpu, place.experts_on_cpu
        self.gpu_cache = place.share("gpu") * cache_work(shape, place, depth, "gpu")
        state = state_work(shape)  # is gone through once
        attended = cache_work(shape, place, depth, "cpu") - state
        self.cpu_cache = place.share("cpu") * (state + CPU_CACHE * attended)
        experts = shape.expert_parameters * shape.experts_used / shape.experts if shape.experts else 0
        self.expert_bytes = experts * per_weight
        self.weights_read = shape.active_parameters * per_weight

    @property
    def gpu_bytes(self) -> float:
        weights = self.weights_read * self.on_gpu - self.expert_bytes * self.experts_on_cpu
        return weights + self.gpu_cache

    @property
    def cpu_weights(self) -> float:
        return self.weights_read * (1 - self.on_gpu) + self.expert_bytes * self.experts_on_cpu


def _gpus(machine: Machine, kind: str) -> tuple[Gpu, ...]:
    usable = [gpu for gpu in machine.gpus if gpu.usable is not False]
    if kind == "unified":
        shared = [gpu for gpu in usable if gpu.kind != "discrete"]
        return (max(shared, key=lambda gpu: (gpu.memory_total or 0) + (gpu.shared_total or 0)),)
    return tuple(gpu for gpu in usable if gpu.kind == "discrete" and gpu.memory_total)


def _gpu_seconds(machine: Machine, job: _Job) -> float:
    """Layers are split over the GPUs by their memory and computed one after another."""
    if not job.gpu_bytes:
        return 0.0
    gpus = _gpus(machine, job.kind)
    whole = sum(gpu.memory_total or 1 for gpu in gpus)
    layer = GPU_EXPERT_LAYER if job.shape.experts else GPU_LAYER
    seconds = 0.0
    for gpu in gpus:
        share = (gpu.memory_total or 1) / whole
        bandwidth, per_layer = _effective(gpu, machine)
        seconds += share * job.gpu_bytes / (bandwidth * job.rate)
        seconds += share * per_layer * layer * job.shape.layers * job.on_gpu
    return seconds


def _effective(gpu: Gpu, machine: Machine) -> tuple[float, float]:
    """Return the bytes per second that decoding reaches, and how much longer a layer takes than on NVIDIA."""
    efficiency, knee, power, layer = _VENDORS.get(gpu.vendor, _OTHER)
    if gpu.vendor == "AMD" and gpu.kind != "discrete":
        efficiency = 0.78
    peak = gpu.bandwidth
    if peak is None and gpu.kind != "discrete" and machine.memory_bandwidth:
        peak = machine.memory_bandwidth
    if peak is None:
        peak = UNKNOWN_GPU[gpu.kind]
    return peak * efficiency * min(1.0, (knee / peak) ** power), layer


def _cpu_seconds(machine: Machine, job: _Job) -> float:
    if not job.cpu_weights:
        return 0.0
    cpu = machine.cpu
    by_cores = bytes_per_core(cpu) * cpu.usable_cores**CORE_SCALING
    by_memory = _memory_bandwidth(machine)
    experts = min(job.cpu_weights, job.expert_bytes)
    rest = job.cpu_weights - experts
    unpacked = by_cores * job.rate
    seconds = rest / min(unpacked, by_memory) + experts / min(unpacked, by_memory * SCATTERED)
    seconds += job.cpu_cache / min(by_cores, by_memory)
    return seconds + CPU_LAYER * job.shape.layers * (1 - job.on_gpu + job.experts_on_cpu)


def bytes_per_core(cpu: Cpu) -> float:
    """Return how many bytes of weights one core works off in a second."""
    if cpu.name.startswith("Apple"):
        return APPLE_CORE
    for names, rate in BYTES_PER_CORE:
        if any(name in cpu.features for name in names):
            return rate
    return SLOWEST_CORE


def _memory_bandwidth(machine: Machine) -> float:
    if machine.memory_bandwidth:
        return OF_MEASURED_BANDWIDTH * machine.memory_bandwidth
    shared = [gpu.bandwidth for gpu in machine.gpus if gpu.kind != "discrete" and gpu.bandwidth]
    if shared:
        return 0.7 * max(shared)
    return UNKNOWN_MEMORY.get(machine.cpu.architecture, 20 * GB)


def _spread(machine: Machine, placement: Placement) -> float:
    if placement.kind in ("gpu", "unified"):
        known = all(gpu.bandwidth for gpu in _gpus(machine, placement.kind))
    else:
        known = machine.memory_bandwidth is not None
    return TABLE if known else TABLE_UNMEASURED


def _prompt_speed(machine: Machine, job: _Job) -> float:
    """Return tokens per second of a prompt: arithmetic of the active weights, without the embeddings."""
    shape = job.shape
    output = shape.embedding_parameters
    flops = 2 * max(1, shape.active_parameters - output)
    on_cpu = 1 - job.on_gpu + job.experts_on_cpu * shape.expert_parameters / shape.parameters
    cores = machine.cpu.usable_cores**CORE_SCALING
    relative = bytes_per_core(machine.cpu) / (6.4 * GB)
    cpu_seconds = on_cpu * (flops / (CPU_FLOPS * cores * relative) + CPU_PROMPT_LAYER * shape.layers / cores)
    if job.gpu_bytes:  # large batches are computed on the GPU, to which the weights are copied each time
        cpu_seconds = min(cpu_seconds, on_cpu * job.weights / (job.ubatch * UPLOAD))
    gpu_seconds = 0.0
    if job.gpu_bytes:
        rate = sum(
            (gpu.bandwidth or UNKNOWN_GPU[gpu.kind]) * FLOPS_PER_BYTE.get(gpu.vendor, 38.0)
            for gpu in _gpus(machine, job.kind)[:1]
        )
        rate = min(MOST_PROMPT_FLOPS, rate) * (EXPERTS_PROMPT if shape.experts else 1.0)
        gpu_seconds = (1 - on_cpu) * (flops / rate + GPU_PROMPT_LAYER * shape.layers)
    return 1 / (cpu_seconds + gpu_seconds)
