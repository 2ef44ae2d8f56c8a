"""`localllm hardware`: this computer, for people or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.cli.output import Column
from localllm.core.hardware import measure_memory_bandwidth, probe
from localllm.progress import Progress
from localllm.texts import Bytes, Number, Text, plural, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context, Output
    from localllm.core.machine import Cpu, Disk, EngineBuild, EngineDevice, Gpu, Machine, Memory

_Row = tuple[Text | str, Text | str]

_KINDS = {
    "discrete": text("own memory"),
    "integrated": text("in the processor"),
    "unified": text("shared memory"),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser("hardware", help="show this computer and what the engine can use of it")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as --machine takes it")
    parser.add_argument("--measure", action="store_true", help="measure the speed of the memory (again)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print this computer."""
    from localllm.core.engine_build import read_engine_build

    paths = context.paths
    build = read_engine_build()
    machine = probe(paths.models, engine=build, measurements=paths.measurements_file)
    if arguments.measure and _measure(context, machine.cpu):
        machine = probe(paths.models, engine=build, measurements=paths.measurements_file)
    if arguments.json:
        context.output.json(machine.to_json())
    else:
        show_machine(machine, context.output)
    return 0


def _measure(context: Context, cpu: Cpu) -> bool:
    def tell(_done: float, _total: float, note: Text | None) -> None:
        if note is not None:
            context.output.note(note)

    file = context.paths.measurements_file
    return measure_memory_bandwidth(file, cpu, Progress(tell), force=True) is not None


def show_machine(machine: Machine, output: Output) -> None:
    """Print a computer as tables."""
    rows = _cpu_rows(machine.cpu)
    rows += _memory_rows(machine.memory, machine.memory_bandwidth)
    if machine.disk:
        rows.append(_disk_row(machine.disk))
    if machine.engine:
        rows.append(_engine_row(machine.engine))
    output.table([Column(text("System")), Column(machine.system)], rows)
    output.say()
    _show_gpus(machine, output)
    for note in machine.notes:
        output.note(text("Note: {note}", note=text(note)))


def _cpu_rows(cpu: Cpu) -> list[_Row]:
    cores = text(
        "{cores}, {threads}; usable here: {usable}",
        cores=plural(cpu.physical_cores, "{count} core", "{count} cores"),
        threads=plural(cpu.logical_cores, "{count} thread", "{count} threads"),
        usable=cpu.usable_cores,
    )
    if cpu.performance_cores is not None:
        sentences = ("{cores}, one of them fast", "{cores}, {count} of them fast")
        cores = plural(cpu.performance_cores, *sentences, cores=cores)
    rows: list[_Row] = [(text("Processor"), f"{cpu.name} ({cpu.architecture})"), ("", cores)]
    if cpu.features:
        rows.append(("", " ".join(cpu.features)))
    return rows


def _memory_rows(memory: Memory, bandwidth: float | None) -> list[_Row]:
    free = text("{free} free of {total}", free=Bytes(memory.available), total=Bytes(memory.total))
    if memory.limit is not None:
        free = text(
            "{free} free of the {limit} allowed here ({total} in the computer)",
            free=Bytes(memory.available),
            limit=Bytes(memory.limit),
            total=Bytes(memory.total),
        )
    rows: list[_Row] = [(text("Memory"), free)]
    if bandwidth is not None:
        rows.append(("", text("read at {speed} GB/s, measured here", speed=Number(bandwidth / 1e9, 1))))
    else:
        rows.append(("", text("speed not measured yet: localllm hardware --measure")))
    if memory.swap_total:
        swap = text("{free} free of {total}", free=Bytes(memory.swap_free), total=Bytes(memory.swap_total))
        rows.append((text("Swap"), swap))
    return rows


def _disk_row(disk: Disk) -> _Row:
    free = text("{free} free of {total}", free=Bytes(disk.free), total=Bytes(disk.total))
    return text("Models folder"), text("{folder}: {free}", folder=disk.path, free=free)


def _engine_row(build: EngineBuild) -> _Row:
    devices = ", ".join(_device(device) for device in build.devices)
    version = f"{build.version} ({', '.join(build.parts)})" if build.parts else build.version
    return text("Engine"), text(
        "llama.cpp {version}, computes on: {devices}", version=version, devices=devices
    )


def _device(device: EngineDevice) -> str:
    return f"{device.name} ({device.description})" if device.description else device.name


def _show_gpus(machine: Machine, output: Output) -> None:
    if not machine.gpus:
        output.say(text("No graphics card: models run on the processor."))
        return
    columns = [
        Column(text("Graphics")),
        Column(text("Kind")),
        Column(text("Free"), right=True),
        Column(text("Memory"), right=True),
        Column(text("GB/s"), right=True),
        Column(text("Usable")),
    ]
    output.table(columns, [_gpu_cells(gpu) for gpu in machine.gpus])
    unusable = [gpu for gpu in machine.gpus if gpu.remedy]
    if unusable:
        output.say()
    for gpu in unusable:
        output.say(text("{name}: {remedy}", name=gpu.name, remedy=text(gpu.remedy or "")))
    cards = sum(gpu.kind == "discrete" and gpu.usable is True for gpu in machine.gpus)
    if cards > 1:
        output.say(text("The engine can spread a model over {count} cards.", count=cards))


def _gpu_cells(gpu: Gpu) -> list[Text | str]:
    usable = {True: text("yes"), False: text("no"), None: text("not known")}[gpu.usable]
    return [
        f"{gpu.vendor} {gpu.name}" if not gpu.name.startswith(gpu.vendor) else gpu.name,
        _KINDS[gpu.kind],
        _size(gpu.memory_free),
        _size(gpu.memory_total),
        _size_number(gpu.bandwidth),
        usable,
    ]


def _size(count: int | None) -> Text | str:
    return "–" if count is None else text("{size}", size=Bytes(count))


def _size_number(bandwidth: float | None) -> Text | str:
    return "–" if bandwidth is None else text("{number}", number=Number(bandwidth / 1e9))
