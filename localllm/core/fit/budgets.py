"""How much of a computer's memory a model may have: now, and after other programs are closed.

Rules, each with its reason:
- Main memory now: what is available within the cgroup limit, less a margin of 3 % (at least 300 MiB), so
  that nothing is swapped out.
- Main memory after closing programs: all of it (or the limit) less what the system itself keeps: 10 %,
  between 1 and 4 GiB; within a cgroup limit 256 MiB, for there the system lives outside.
- Discrete GPU: what is free now; after closing programs its memory less 512 MiB for display and driver.
  Where free memory is not known, nine tenths.
- Integrated and unified GPUs have main memory, so they are never added to it: the larger of their own
  part and what they may take of the main memory that is available.
- A GPU that this engine build cannot use counts as none.
All sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localllm.core.fit.memory import MIB

if TYPE_CHECKING:
    from localllm.core.machine import Cpu, Gpu, Machine, Memory

GIB = 1024 * MIB
CpuLayout = Literal["plain", "amx", "neon"]


@dataclass(frozen=True)
class Amount:
    """Bytes that can be had now, and after other programs are closed."""

    now: int
    closed: int


@dataclass(frozen=True)
class Budgets:
    """What a model may take; `gpus` are discrete, or the one unified GPU where `unified`."""

    host: Amount
    gpus: tuple[Gpu, ...] = ()
    gpu: Amount = Amount(0, 0)  # of all of them, before their drivers' share
    each: tuple[Amount, ...] = ()  # of each of several
    unified: bool = False
    layout: CpuLayout = "plain"
    engine: int | None = None  # `Machine.engine_overhead`
    kept: Amount = Amount(0, 0)  # of main memory that is left alone: against swapping, for the system

    def whole(self, *, closed: bool) -> int:
        """Return the bytes of all devices, unified memory counted once."""
        gpu = self.gpu.closed if closed else self.gpu.now
        host = self.host.closed if closed else self.host.now
        return max(gpu, host) if self.unified else gpu + host


def budgets_of(machine: Machine) -> Budgets:
    """Return the budgets of a machine."""
    host, kept = _host(machine.memory)
    layout = _layout(machine.cpu)
    usable = [gpu for gpu in machine.gpus if gpu.usable is not False]
    discrete = tuple(gpu for gpu in usable if gpu.kind == "discrete" and gpu.memory_total)
    if discrete:
        amounts = [_discrete(gpu) for gpu in discrete]
        total = Amount(sum(amount.now for amount in amounts), sum(amount.closed for amount in amounts))
        each = tuple(amounts)
        return Budgets(host, discrete, total, each, layout=layout, engine=machine.engine_overhead, kept=kept)
    shared = [gpu for gpu in usable if gpu.kind != "discrete"]
    if shared:
        gpu = max(shared, key=lambda gpu: (gpu.memory_total or 0) + (gpu.shared_total or 0))
        return Budgets(
            host,
            (gpu,),
            _shared(gpu, host),
            unified=True,
            layout=layout,
            engine=machine.engine_overhead,
            kept=kept,
        )
    return Budgets(host, layout=layout, engine=machine.engine_overhead, kept=kept)


def _layout(cpu: Cpu) -> CpuLayout:
    """Return how the engine keeps weights on this CPU: for AMX and NEON it packs them anew."""
    if "amx_int8" in cpu.features:
        return "amx"
    return "neon" if {"dotprod", "i8mm"} & set(cpu.features) else "plain"


def _host(memory: Memory) -> tuple[Amount, Amount]:
    """Return what may be had of main memory, and what is kept."""
    limited = memory.limit is not None and memory.limit < memory.total
    whole = memory.limit if limited and memory.limit is not None else memory.total
    margin = max(300 * MIB, int(0.03 * whole))
    now = max(0, min(memory.available, whole) - margin)
    reserve = 256 * MIB if limited else min(4 * GIB, max(GIB, whole // 10))
    return Amount(now, max(now, whole - reserve)), Amount(margin, reserve)


def _discrete(gpu: Gpu) -> Amount:
    total = gpu.memory_total or 0
    now = gpu.memory_free if gpu.memory_free is not None else int(0.9 * total)
    return Amount(now, max(now, total - 512 * MIB))


def _shared(gpu: Gpu, host: Amount) -> Amount:
    own = gpu.memory_total or 0
    limit = own + (gpu.shared_total or 0)
    if gpu.kind == "unified" or not own or own <= 4 * GIB:
        limit = limit or host.closed
        return Amount(min(limit, host.now), min(limit, host.closed))
    free = gpu.memory_free if gpu.memory_free is not None else own  # a part set aside by the firmware
    return Amount(max(free, min(limit, host.now)), max(own, min(limit, host.closed)))
