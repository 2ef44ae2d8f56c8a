"""Another computer than this one: any graphics processor of the table, any number of them, any memory."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localllm.core.hardware.apple import working_set
from localllm.core.hardware.gpu_table import GIB, split_name
from localllm.core.machine import Cpu, Gpu, Machine, Memory
from localllm.errors import UsageError
from localllm.texts import plural, text

if TYPE_CHECKING:
    from localllm.core.hardware.gpu_table import GpuRow, GpuTable

NO_GPU = "none"
USUAL_MEMORY = 32 * GIB
MOST_GPUS = 64
LEAST_MEMORY, MOST_MEMORY = GIB // 2, 16384 * GIB
DISPLAY = 600 * 2**20  # of a discrete GPU's memory; what display and driver take
INTEGRATED = GIB // 2  # set aside by the firmware; besides, the driver lets graphics take half of the memory
NEAR = 6
APPLE_CPU = Cpu("Apple", "arm64", 8, 8, 8, ("neon", "dotprod", "i8mm"))


@dataclass(frozen=True)
class WhatIf:
    """What is to be different.

    Attributes:
        gpu: Name in the hardware table; "none" = no GPU; None = those of this computer.
        gpus: How many of them.
        memory: Bytes of main memory; for unified memory of all; None = as here.
    """

    gpu: str | None = None
    gpus: int = 1
    memory: int | None = None


def hypothetical_machine(what: WhatIf, table: GpuTable, base: Machine) -> Machine:
    """Describe `base` with other parts, everything of it free but what the system takes.

    Raises:
        UsageError: No such GPU (the hint names similar ones), or a number that makes no sense.
    """
    _check(what)
    machine = replace(base, gpus=() if what.gpu else base.gpus)
    if what.gpu is None or what.gpu.lower() == NO_GPU:
        return machine if what.memory is None else replace(machine, memory=_memory(what.memory))
    row = _row(table, what.gpu)
    total = what.memory or _own_memory(row) or base.memory.total or USUAL_MEMORY
    machine = replace(machine, memory=_memory(total), notes=())
    if row.kind == "discrete":
        return replace(machine, gpus=(_discrete(row),) * what.gpus)
    if row.vendor == "Apple":
        cpu = machine.cpu if machine.cpu.name.startswith("Apple") else replace(APPLE_CPU, name=row.name)
        machine = replace(machine, cpu=cpu, system="macOS", memory_bandwidth=None)
    return replace(machine, gpus=(_shared(row, total),))


def gpu_names(table: GpuTable) -> tuple[tuple[str, GpuRow], ...]:
    """Return every card by a name that `hypothetical_machine` understands, with its row, sorted."""
    rows = {_display(row): row for rows in table.rows.values() for row in rows}
    return tuple(sorted(rows.items(), key=lambda item: (item[1].kind == "discrete", item[0].lower())))


def display_name(row: GpuRow) -> str:
    """Return the name of a card with its maker: "NVIDIA GeForce RTX 4090"."""
    return row.name if row.name.startswith(row.vendor) else f"{row.vendor} {row.name}"


def _display(row: GpuRow) -> str:
    name = display_name(row)
    if row.memory and split_name(name)[1] is None:
        return f"{name} {row.memory / GIB:g} GB"
    return f"{name} ({row.gpu_cores} GPU cores)" if row.gpu_cores else name


def _check(what: WhatIf) -> None:
    if not 1 <= what.gpus <= MOST_GPUS:
        raise UsageError(text("A computer can have 1 to {most} of these GPUs.", most=MOST_GPUS))
    if what.memory is not None and not LEAST_MEMORY <= what.memory <= MOST_MEMORY:
        raise UsageError(text("This much main memory makes no sense: it must be between 512 MiB and 16 TiB."))


def _row(table: GpuTable, name: str) -> GpuRow:
    """Return the row of a name; of revisions that share it the slowest, so that nothing is promised."""
    cores = _cores(name)
    rows = table.find(name.partition("(")[0] if cores else name, gpu_cores=cores)
    size = split_name(name)[1]
    rows = tuple(row for row in rows if size in {None, row.memory, _own_memory(row)}) or rows
    if rows:
        return min(rows, key=lambda row: row.bandwidth)
    near = near_names(table, name)
    if not near:
        raise UsageError(
            text("“{name}” is not in the table of graphics processors.", name=name),
            hint=text("“localllm recommend --list-gpus” shows them all."),
        )
    hint = plural(
        len(near), "Did you mean {names}?", "Did you mean one of these: {names}?", names=", ".join(near)
    )
    raise UsageError(text("“{name}” is not in the table of graphics processors.", name=name), hint=hint)


def _cores(name: str) -> int | None:
    inside = name.rpartition("(")[2]
    number = inside.split(" ", maxsplit=1)[0]
    return int(number) if inside.endswith("GPU cores)") and number.isdecimal() else None


def near_names(table: GpuTable, name: str) -> tuple[str, ...]:
    """Return the names of the table that are like one that is not in it."""
    names = [shown for shown, _ in gpu_names(table)]
    wanted = split_name(name)[0]
    sharing = [shown for shown in names if wanted and wanted <= split_name(shown)[0]]
    plain = {_plain(shown): shown for shown in names}
    close = difflib.get_close_matches(_plain(name), plain, n=NEAR, cutoff=0.5)
    return tuple(dict.fromkeys([*sharing, *(plain[match] for match in close)]))[:NEAR]


def _plain(name: str) -> str:
    """Return what makes out a card: "rtx 4090"."""
    words = split_name(name)[0]
    return " ".join(word for word in name.lower().split() if word in words)


def _own_memory(row: GpuRow) -> int | None:
    return None if row.kind == "discrete" else row.memory or split_name(row.name)[1]


def _memory(total: int) -> Memory:
    system = max(GIB, min(4 * GIB, total // 10))
    return Memory(total, max(0, total - system))


def _discrete(row: GpuRow) -> Gpu:
    memory = row.memory or split_name(row.name)[1] or 0
    return Gpu(
        display_name(row), row.vendor, "discrete", memory, max(0, memory - DISPLAY),
        bandwidth=row.bandwidth, usable=True,
    )  # fmt: skip


def _shared(row: GpuRow, total: int) -> Gpu:
    gpu = Gpu(display_name(row), row.vendor, row.kind, bandwidth=row.bandwidth, usable=True)
    if row.vendor == "Apple":
        return replace(gpu, memory_total=working_set(total, None))
    if row.kind == "unified":
        return replace(gpu, memory_total=total)
    return replace(gpu, memory_total=INTEGRATED, shared_total=total // 2)
