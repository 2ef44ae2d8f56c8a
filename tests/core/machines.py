"""Computers to ask about."""

from localllm.core.machine import Cpu, Gpu, Machine, Memory

GIB = 2**30
GB = 10**9
AVX512 = ("avx2", "avx512f", "avx512_vnni")
AVX2 = ("avx2",)
NEON = ("neon", "dotprod")


def cpu(cores, features, architecture="x86_64", name="CPU"):
    return Cpu(name, architecture, cores, 2 * cores, cores, features)


def memory(total, available, limit=None):
    return Memory(int(total * GIB), int(available * GIB), None if limit is None else int(limit * GIB))


def nvidia(name, total, bandwidth, free=None, *, usable=True):
    free = total - 0.6 if free is None else free
    return Gpu(
        name, "NVIDIA", "discrete", int(total * GIB), int(free * GIB), bandwidth=bandwidth * GB, usable=usable
    )


def apple(name, total, available, working_set, bandwidth, cores):
    gpu = Gpu(name, "Apple", "unified", int(working_set * GIB), bandwidth=bandwidth * GB, usable=True)
    return Machine("macOS 15", cpu(cores, NEON, "arm64", name), memory(total, available), (gpu,))


REFERENCE = Machine("Linux", cpu(2, AVX512), memory(23.5, 21.5), memory_bandwidth=22e9)
LAPTOP = Machine(
    "Windows 11",
    cpu(4, AVX2),
    memory(7.8, 3.6),
    (Gpu("Iris Xe", "Intel", "integrated", 128 * 2**20, shared_total=4 * GIB, usable=False),),
    memory_bandwidth=30e9,
)
RTX_4060 = Machine(
    "Windows 11", cpu(8, AVX2), memory(31.8, 24), (nvidia("RTX 4060", 8, 272, 7.1),), memory_bandwidth=55e9
)
RTX_4090 = Machine(
    "Linux", cpu(16, AVX512), memory(62, 55), (nvidia("RTX 4090", 24, 1008),), memory_bandwidth=70e9
)
TWO_3090 = Machine(
    "Linux",
    cpu(12, AVX2),
    memory(62, 55),
    (nvidia("RTX 3090", 24, 936), nvidia("RTX 3090", 24, 936)),
    memory_bandwidth=45e9,
)
M1 = apple("Apple M1", 8, 4.2, 5.33, 68, 8)
M4_MAX = apple("Apple M4 Max", 64, 48, 48, 546, 12)
STRIX_HALO = Machine(
    "Linux",
    cpu(16, AVX512),
    memory(125, 115),
    (Gpu("Radeon 8060S", "AMD", "integrated", GIB // 2, GIB // 3, 110 * GIB, bandwidth=256e9, usable=True),),
    memory_bandwidth=120e9,
)
RASPBERRY_PI = Machine("Linux", cpu(4, NEON, "arm64", "Cortex-A76"), memory(7.9, 7), memory_bandwidth=12e9)
CONTAINER = Machine("Linux", cpu(1, AVX512), memory(23.5, 3.9, 4), memory_bandwidth=22e9)
H100 = Machine(
    "Linux",
    cpu(8, (*AVX512, "amx_int8")),
    memory(125, 115),
    (nvidia("H100", 79.6, 3352, 79.1),),
    memory_bandwidth=150e9,
)

EVERY = {
    "reference": REFERENCE,
    "laptop": LAPTOP,
    "rtx 4060": RTX_4060,
    "rtx 4090": RTX_4090,
    "two 3090": TWO_3090,
    "m1": M1,
    "m4 max": M4_MAX,
    "strix halo": STRIX_HALO,
    "raspberry pi": RASPBERRY_PI,
    "container": CONTAINER,
    "h100": H100,
}


def with_engine(machine):
    """The same computer with an engine that computes on its graphics cards."""
    from dataclasses import replace

    from localllm.core.machine import EngineBuild, EngineDevice

    cards = tuple(EngineDevice(f"CUDA{n}", gpu.name, "gpu") for n, gpu in enumerate(machine.gpus))
    return replace(machine, engine=EngineBuild("0", "", (EngineDevice("CPU", "CPU", "cpu"), *cards)))
