"""What hardware a model needs: memory, or one or several graphics processors of the table."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localllm.core.fit import budgets_of, estimate_memory, place_within
from localllm.core.hardware.gpu_table import GIB
from localllm.core.recommend.candidates import UNKNOWN_PROJECTOR, fit_settings
from localllm.core.recommend.what_if import WhatIf, display_name, hypothetical_machine
from localllm.core.speed import predict_speed

if TYPE_CHECKING:
    from localllm.core.catalogue import CatalogueModel, QuantFile
    from localllm.core.fit import FitSettings
    from localllm.core.hardware.gpu_table import GpuRow, GpuTable
    from localllm.core.machine import Machine
    from localllm.core.recommend.wish import Wish
    from localllm.core.speed import SpeedEstimate

USUAL_QUANT = "Q4_K_M"
MEMORY_SIZES = tuple(
    GIB * size for size in (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
)
COUNTS = (1, 2, 4, 8)
LEAST_GPU_MEMORY = 4 * GIB
LARGE_HOST = 128 * GIB  # a computer for such a GPU has at least this much main memory
# of laptops, or made for one country or one customer
RARE = ("Laptop", "CNX", "A800", "H800", "5090 D", "RTX 6000D", "H100 SXM5 64", "H100 SXM5 96", "1060 5 GB")
VLLM_SHARE = 0.9  # of each GPU's memory: vLLM's own default
VLLM_WORK = GIB  # per GPU: CUDA context, activations, graphs
VLLM_GPUS = ("RTX 4090", "L40S", "H100 SXM5 80 GB", "H200 SXM 141 GB")
BYTES_PER_WEIGHT = 2  # BF16 and FP16


@dataclass(frozen=True)
class GpuOption:
    """Some equal GPUs that hold a model; `memory` is that of one of them in bytes."""

    name: str
    count: int
    memory: int
    speed: SpeedEstimate | None = None


@dataclass(frozen=True)
class Needs:
    """What runs one file of a model with the context asked for.

    Attributes:
        need: Bytes it takes in main memory.
        memory: Bytes of main memory that suffice, a size that is sold; None = more than 2 TiB.
        memory_speed: How fast it is there, on this computer's processor.
        gpus: The smallest GPU of the table alone, then two, four, eight of a smaller one.
        unpacked: GPUs for the weights as published, 16 bits each, as vLLM serves them; None = more than
            eight of the largest.
    """

    model: CatalogueModel
    quant: str
    need: int
    memory: int | None
    memory_speed: SpeedEstimate | None
    gpus: tuple[GpuOption, ...]
    unpacked: GpuOption | None


def hardware_needed(
    base: Machine, table: GpuTable, model: CatalogueModel, wish: Wish, quant: str = ""
) -> Needs:
    """Say what a model needs; without a quant for Q4_K_M, or its smallest file."""
    file = _file(model, quant)
    size = file.size
    if wish.use == "vision":
        size += model.projector_size or UNKNOWN_PROJECTOR
    fit = fit_settings(
        model.shape, replace(wish, context_length=min(wish.context_length, model.context_length))
    )
    search = _Search(base, table, model, file, size, fit)
    memory, speed = search.memory()
    need = estimate_memory(model.shape, size, fit).total
    return Needs(model, file.name, need, memory, speed, search.gpus(), unpacked_gpus(table, model, fit))


def _file(model: CatalogueModel, quant: str) -> QuantFile:
    named = {file.name: file for file in model.quants}
    return named.get(quant or USUAL_QUANT) or min(model.quants, key=lambda file: file.size)


@dataclass(frozen=True)
class _Search:
    """Tries one file on larger and larger hardware."""

    base: Machine
    table: GpuTable
    model: CatalogueModel
    file: QuantFile
    size: int
    fit: FitSettings

    def memory(self) -> tuple[int | None, SpeedEstimate | None]:
        for size in MEMORY_SIZES:
            machine = hypothetical_machine(WhatIf("none", memory=size), self.table, self.base)
            if self._fits(machine):
                return size, self._speed(machine)
        return None, None

    def gpus(self) -> tuple[GpuOption, ...]:
        found: list[GpuOption] = []
        for count in COUNTS:
            for row in usual_gpus(self.table):
                machine = self._with(row, count)
                memory = row.memory or 0
                smaller = not found or memory < found[-1].memory
                if smaller and self._fits(machine):
                    found.append(GpuOption(display_name(row), count, memory, self._speed(machine)))
                    break
        return tuple(found)

    def _with(self, row: GpuRow, count: int) -> Machine:
        host = max(LARGE_HOST, self.base.memory.total)
        return hypothetical_machine(WhatIf(row.name, count, host), self.table, self.base)

    def _fits(self, machine: Machine) -> bool:
        placement, _, verdict = place_within(budgets_of(machine), self.model.shape, self.size, self.fit)
        return verdict in ("fits", "tight") and (placement.kind == "gpu" or not machine.gpus)

    def _speed(self, machine: Machine) -> SpeedEstimate:
        placement, _, _ = place_within(budgets_of(machine), self.model.shape, self.size, self.fit)
        return predict_speed(machine, self.model.shape, self.file.weights, placement, self.fit)


def usual_gpus(table: GpuTable) -> tuple[GpuRow, ...]:
    """Return one of NVIDIA's cards for each memory size, the best documented, then fastest."""
    by_size: dict[int, GpuRow] = {}
    for rows in table.rows.values():
        for row in rows:
            if row.vendor == "NVIDIA" and row.kind == "discrete" and _is_usual(row):
                known = by_size.setdefault(row.memory or 0, row)
                if _rank(row) < _rank(known):
                    by_size[row.memory or 0] = row
    return tuple(by_size[size] for size in sorted(by_size))


def _rank(row: GpuRow) -> tuple[int, float, str]:
    return -len(row.sources), -row.bandwidth, row.name


def _is_usual(row: GpuRow) -> bool:
    rare = any(part in row.name for part in RARE)
    return (row.memory or 0) >= LEAST_GPU_MEMORY and not rare


def unpacked_gpus(table: GpuTable, model: CatalogueModel, fit: FitSettings) -> GpuOption | None:
    """Return the least memory on equal GPUs that serves the published 16-bit weights, split by heads."""
    weights = BYTES_PER_WEIGHT * model.parameters
    need = estimate_memory(model.shape, weights, fit)
    options: list[GpuOption] = []
    for name in VLLM_GPUS:
        for row in table.find(name)[:1]:
            memory = row.memory or 0
            room = int(VLLM_SHARE * memory) - VLLM_WORK
            count = 2 ** max(0, math.ceil(math.log2((need.weights + need.kv + need.compute) / room)))
            if count <= max(COUNTS) and model.shape.heads % count == 0:
                options.append(GpuOption(display_name(row), count, memory))
    return min(options, key=lambda option: (option.count * option.memory, option.count), default=None)
