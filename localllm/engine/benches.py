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


@dataclass(frozen=True)
class BenchSettings(LoadSettings):
    """How a model is loaded for measuring.

    Attributes:
        require_flash_attention: Refuse where it cannot be had; `flash_attention` alone takes it where it can.
        experts_layers_on_cpu: Layers, from the first, whose experts stay in main memory.
        load_mode: How llama.cpp reads the file.
    """

    require_flash_attention: bool = False
    experts_layers_on_cpu: int = 0
    load_mode: LoadMode = "auto"


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
