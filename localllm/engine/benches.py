"""What a bench is asked for besides how a model is loaded, and what it says while it measures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localllm.engine.protocol import (
    BenchReport,
    BenchSample,
    DeviceBuffers,
    LoadSettings,
    error_from_record,
    from_record,
)

if TYPE_CHECKING:
    from localllm.errors import LocalLLMError
    from localllm.processes import Message

LoadMode = Literal["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"]
LazyMode = Literal["off", "auto", "on"]
SplitMode = Literal["none", "layer", "row", "tensor"]
Numa = Literal["", "distribute", "isolate", "numactl"]

PRIORITIES = {-1: 5, 0: 0, 1: -5, 2: -10, 3: -20}  # llama-bench's --prio, and the process's niceness
DEVICES_CHOSEN_BY_ENGINE = "auto"


@dataclass(frozen=True)
class BenchSettings(LoadSettings):
    """How a model is loaded for measuring; names that `LoadSettings` lacks are llama-bench's.

    Attributes:
        require_flash_attention: Refuse where it cannot be had; `flash_attention` alone takes it where it can.
        load_mode: How llama.cpp reads the file.
        lazy_mode: Whether tensors that the architecture marks are read as they are needed.
        split_mode: How several GPUs share the model.
        main_gpu: Which has all of it where `split_mode` is "none".
        tensor_split: Share of each GPU; () leaves it to the engine.
        devices: "auto", "none", or names: "CUDA0/CUDA1".
        overrides: Tensors by pattern, and their kind of buffer: "ffn_down=CPU".
        no_kv_offload: The cache stays in main memory.
        no_op_offload: The GPU does not help with weights that are in main memory.
        no_host: Weights in main memory are not pinned for the GPU.
        embeddings: Embeddings are computed too.
        cpu_mask: Processors as a hexadecimal number, "0x0" for all.
        cpu_strict: Each thread has one of them for itself.
        poll: Per cent of the time that a thread waits busily.
        priority: A key of `PRIORITIES`.
        numa: llama.cpp's way with several memory controllers.
        warm_up: Whether each test is begun with a repetition that does not count.
        delay: Seconds of rest before each test.
    """

    require_flash_attention: bool = False
    experts_layers_on_cpu: int = 0
    load_mode: LoadMode = "auto"
    lazy_mode: LazyMode = "auto"
    split_mode: SplitMode = "layer"
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    devices: str = DEVICES_CHOSEN_BY_ENGINE
    overrides: tuple[str, ...] = ()
    no_kv_offload: bool = False
    no_op_offload: bool = False
    no_host: bool = False
    embeddings: bool = False
    cpu_mask: str = "0x0"
    cpu_strict: bool = False
    poll: int = 50
    priority: int = 0
    numa: Numa = ""
    warm_up: bool = True
    delay: int = 0


@dataclass(frozen=True)
class BenchStart:
    """The test with this number begins."""

    test: int


@dataclass(frozen=True)
class BenchEnd:
    """All repetitions of a test are done.

    Attributes:
        buffers: What its context and the model took on each device.
        peak_memory: Most bytes of main memory that the engine's process held meanwhile, mapped files too.
    """

    test: int
    buffers: tuple[DeviceBuffers, ...] = dataclasses.field(default=(), metadata={"of": DeviceBuffers})
    peak_memory: int = 0


@dataclass(frozen=True)
class BenchRefusal:
    """A test cannot be done with these settings; the next ones are."""

    test: int
    error: LocalLLMError


BenchEvent = BenchReport | BenchStart | BenchSample | BenchEnd | BenchRefusal


def read_bench_event(message: Message) -> BenchEvent:
    """Read what the child said of a bench."""
    match message["event"]:
        case "opened":
            return from_record(BenchReport, message["report"])
        case "started":
            return BenchStart(message["test"])
        case "sample":
            return BenchSample(message["test"], message["nanoseconds"])
        case "ended":
            return from_record(BenchEnd, message)
        case _:
            return BenchRefusal(message["test"], error_from_record(message["error"]))
