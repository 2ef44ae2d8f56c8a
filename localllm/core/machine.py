"""What a computer offers a language model: the facts that fit and recommendation work from.

Every size is in bytes, every bandwidth in bytes per second; None means not known. The JSON of
`localllm hardware --json` is exactly these records, and `Machine.from_json` reads it back, so any
machine can be asked about on any other.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, cast

from localllm.errors import UsageError
from localllm.texts import text

GpuKind = Literal["discrete", "integrated", "unified"]


@dataclass(frozen=True)
class Cpu:
    """The processor; `usable_cores` counts physical cores after affinity and cgroup quota, at least 1."""

    name: str
    architecture: str  # "x86_64", "arm64"
    physical_cores: int
    logical_cores: int
    usable_cores: int
    features: tuple[
        str, ...
    ] = ()  # instruction sets the engine has kernels for: "avx2", "avx512f", "neon", …
    performance_cores: int | None = None  # of the usable ones, where there are slower ones beside them


@dataclass(frozen=True)
class Memory:
    """Main memory; `available` is what can be had now without swapping, already within the cgroup limit."""

    total: int
    available: int
    limit: int | None = None  # cgroup v1/v2
    swap_total: int = 0
    swap_free: int = 0


@dataclass(frozen=True)
class Gpu:
    """A graphics processor as the system sees it, whether or not the engine can use it.

    Attributes:
        memory_total: Own memory (VRAM); for unified memory what the system lets the GPU take.
        memory_free: Free of that now, with other programs' use subtracted.
        shared_total: Main memory it may use besides (GTT on amdgpu).
        bandwidth: Peak, from the hardware table.
        usable: Whether this engine build can compute on it; None before the engine was asked.
        remedy: What would make it usable, one sentence in English.
    """

    name: str
    vendor: str  # "NVIDIA", "AMD", "Intel", "Apple", …
    kind: GpuKind
    memory_total: int | None = None
    memory_free: int | None = None
    shared_total: int | None = None
    driver: str | None = None
    bandwidth: float | None = None
    pci_id: str | None = None
    usable: bool | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class Disk:
    """The file system of the models folder."""

    path: str
    total: int
    free: int


@dataclass(frozen=True)
class EngineDevice:
    """A device of ggml's own list."""

    name: str  # "CPU", "CUDA0", "Vulkan0", "Metal"
    description: str
    kind: str  # "cpu", "gpu", "igpu", "accel"
    memory_total: int = 0
    memory_free: int = 0
    pci_id: str | None = None  # ggml's device_id: "0000:01:00.0"


@dataclass(frozen=True)
class EngineBuild:
    """What the installed engine can compute on.

    Attributes:
        parts: Its libraries that were loaded, where it has them apart: "cpu-haswell", "vulkan".
        unused: Those that are installed and found no driver or device here, or crash.
        failing: Of these the ones that are left out because the engine crashes or hangs as it starts.
    """

    version: str
    system_info: str
    devices: tuple[EngineDevice, ...] = ()
    parts: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    commit: str = ""  # of llama.cpp
    failing: tuple[str, ...] = ()

    @property
    def drivers(self) -> tuple[str, ...]:
        """The parts that compute through a graphics driver."""
        return tuple(part for part in self.parts if not part.startswith(("cpu", "blas")))


@dataclass(frozen=True)
class Machine:
    """One computer, at one moment."""

    system: str  # "Linux 6.1 (Debian 12)", "macOS 15.1", "Windows 11"
    cpu: Cpu
    memory: Memory
    gpus: tuple[Gpu, ...] = ()
    disk: Disk | None = None
    engine: EngineBuild | None = None
    memory_bandwidth: float | None = None  # measured here: read, all usable cores
    notes: tuple[str, ...] = ()  # what could not be found out, and why
    engine_overhead: int | None = None  # measured here: the engine's process without buffers and vocabulary

    @property
    def engine_gpus(self) -> tuple[str, ...]:
        """The GPUs that the engine computes on, as ggml names them: "CUDA0"."""
        devices = self.engine.devices if self.engine else ()
        return tuple(device.name for device in devices if device.kind in ("gpu", "igpu"))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: str | bytes) -> Machine:
        """Read what `to_json` wrote.

        Raises:
            UsageError: It is not the JSON of a machine; the sentence names the field.
        """
        try:
            return cast("Machine", _build(cls, json.loads(content), "machine"))
        except ValueError as error:
            message = text("This is not the description of a computer: {reason}.", reason=str(error))
            hint = text("Make one on that computer with “localllm hardware --json”.")
            raise UsageError(message, hint=hint) from error


def _build(kind: Any, value: object, where: str) -> object:
    """Turn JSON data into the type that a field declares."""
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _build(arguments[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} must be a list")
        items = cast("list[object]", value)
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} must be one of {', '.join(arguments)}")
        return value
    return _build_plain(kind, value, where)


def _build_plain(kind: Any, value: object, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{where} must be {kind.__name__}")
    if isinstance(value, (int, float)) and value < 0:
        raise ValueError(f"{where} must not be negative")
    return value


def _build_record(kind: Any, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object")  # noqa: TRY004 - one kind of error for bad JSON
    stored = cast("dict[str, object]", value)
    hints = typing.get_type_hints(kind)
    parts: dict[str, object] = {}
    for entry in dataclasses.fields(kind):
        if entry.name in stored:
            parts[entry.name] = _build(hints[entry.name], stored[entry.name], f"{where}.{entry.name}")
        elif entry.default is dataclasses.MISSING:
            raise ValueError(f"{where}.{entry.name} is missing")
    return kind(**parts)
