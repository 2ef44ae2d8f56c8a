"""What a loaded model gives back counts as free for the next one, and never more than there is."""

from dataclasses import replace

from localllm.core.estimate.comparison import given_back
from localllm.core.machine import Cpu, Gpu, Machine, Memory
from localllm.engine.protocol import DeviceBuffers, LoadedModel

GIB = 2**30
LOADED = LoadedModel(
    "m.gguf", "m", "llama", 1, 1, 1, 8192, 8192, 1, 99, "file", 1.0,
    buffers=(
        DeviceBuffers("CPU", weights=GIB, kv=2 * GIB, compute=GIB, output=GIB),
        DeviceBuffers("CUDA0", weights=3 * GIB, kv=GIB),
    ),
    overhead=GIB,
)  # fmt: skip
MACHINE = Machine(
    "Linux",
    Cpu("c", "x86_64", 1, 1, 1),
    Memory(32 * GIB, 20 * GIB),
    (Gpu("g", "NVIDIA", "discrete", 8 * GIB, 2 * GIB), Gpu("h", "NVIDIA", "discrete", 8 * GIB, 8 * GIB)),
)


def test_buffers_come_back_but_mapped_weights_were_free_already():
    after = given_back(MACHINE, LOADED)
    assert after.memory.available == 25 * GIB
    assert [gpu.memory_free for gpu in after.gpus] == [6 * GIB, 8 * GIB]


def test_no_more_comes_back_than_there_is():
    full = replace(
        MACHINE, memory=Memory(32 * GIB, 31 * GIB), gpus=(replace(MACHINE.gpus[0], memory_free=7 * GIB),)
    )
    after = given_back(full, LOADED)
    assert after.memory.available == 32 * GIB
    assert after.gpus[0].memory_free == 8 * GIB
    unknown = replace(full, gpus=(Gpu("g", "AMD", "integrated"),))
    assert given_back(unknown, LOADED).gpus == unknown.gpus
