"""What is asked of the estimator, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localllm.core.estimate.loads import Load
    from localllm.core.estimate.subject import Subject
    from localllm.core.fit import Budgets, FitSettings, MemoryEstimate, Placement, Placing, Verdict
    from localllm.core.machine import Machine
    from localllm.core.speed import SpeedEstimate
    from localllm.engine.protocol import LoadSettings

HOST = "CPU"


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        machine: The computer at this moment.
        placing: A place that somebody has chosen; None finds the best one.
        threads: For the speed; 0 takes all cores that may be used.
        extra_buffers: Whether weights may be repacked for the processor.
        here: Whether it is this computer, which llama.cpp can be asked about.
        exact: Whether it should be asked where the closed form has an answer too.
        adapters: Bytes of the LoRA adapters that are laid over it.
    """

    subject: Subject
    settings: FitSettings
    machine: Machine
    placing: Placing | None = None
    threads: int = 0
    extra_buffers: bool = True
    here: bool = True
    exact: bool = True
    adapters: int = 0


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes on one device; "CPU" is main memory. The closed form knows totals only, its parts are None."""

    device: str
    total: int
    weights: int | None = None
    kv: int | None = None
    compute: int | None = None
    output: int | None = None
    overhead: int | None = None


@dataclass(frozen=True)
class Estimate:
    """What loading a model with certain settings would take on a computer.

    Attributes:
        memory: All devices together, in parts, with its certainty.
        placement: Where it goes; the layers in it are what to load it with.
        available: Bytes that can be had now; `closable` after other programs are closed.
        speed: None where it cannot be predicted.
        last_load: The last time this very model was loaded here, for comparison.
    """

    subject: Subject
    settings: FitSettings
    memory: MemoryEstimate
    devices: tuple[DeviceMemory, ...]
    placement: Placement
    verdict: Verdict
    budgets: Budgets
    speed: SpeedEstimate | None = None
    last_load: Load | None = None

    @property
    def available(self) -> int:
        """Bytes that can be had now, unified memory counted once."""
        return self.budgets.whole(closed=False)

    @property
    def closable(self) -> int:
        """Bytes that can be had after other programs are closed."""
        return self.budgets.whole(closed=True)

    @property
    def missing(self) -> int:
        """Bytes that must become free for this place, on the devices that lack them."""
        place, budgets = self.placement, self.budgets
        host = max(0, place.host_bytes - budgets.host.now)
        if budgets.unified:
            return max(host, place.gpu_bytes - budgets.gpu.now)
        parts = [device.total for device in self.devices if device.device != HOST]
        each = [amount.now for amount in budgets.each]
        if len(parts) != len(each):
            parts, each = [place.gpu_bytes], [budgets.gpu.now]
        return host + sum(max(0, part - free) for part, free in zip(parts, each, strict=True))

    @property
    def short_of_gpu(self) -> bool:
        """Whether it is a GPU's own memory that is too small now for this place."""
        return not self.budgets.unified and self.placement.gpu_bytes > self.budgets.gpu.now

    def placed(self, settings: LoadSettings) -> LoadSettings:
        """Return settings that put the model where they say, and here where they leave it to us."""
        if settings.gpu_layers >= 0:
            return replace(settings, experts_layers_on_cpu=max(0, settings.experts_layers_on_cpu))
        place = self.placement
        return replace(
            settings, gpu_layers=place.gpu_layers, experts_layers_on_cpu=place.experts_layers_on_cpu
        )

    def memory_record(self) -> dict[str, Any]:
        """Return the parts in bytes as JSON data."""
        memory = self.memory
        return {
            "weights": memory.weights,
            "kv": memory.kv,
            "compute": memory.compute,
            "output": memory.output,
            "overhead": memory.overhead,
            "total": memory.total,
        }
