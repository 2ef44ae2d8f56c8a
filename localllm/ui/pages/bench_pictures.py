"""Makes the pictures of a bench's chart from its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.bench.charts import (
    AMOUNTS,
    SETTINGS,
    differing,
    lines_of,
    roof_points,
    value_of,
)
from localllm.texts import Number, text
from localllm.ui.itemmodels.bench import TITLES, label_of, model_of, short_setting
from localllm.ui.translation import say
from localllm.ui.widgets.bench_picture import Mark, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.core.bench import BenchRow
    from localllm.core.machine import Machine

_UP = text("Tokens/s")
_MOST_NAMES = 6  # that have room beside dots which often lie close together
_ROOF_NAMES = ("model_filename", "n_gpu_layers", "n_threads")


def bars(rows: Sequence[BenchRow]) -> Picture:
    """Return a bar with its error for each row, in their order; each test has its colour."""
    tests = list(dict.fromkeys(row.test for row in rows))
    settings = differing(rows)
    marks = [
        Mark(row, row.mean, place, row.deviation, tests.index(row.test)) for place, row in enumerate(rows)
    ]
    names = [
        " · ".join(
            filter(None, (label_of(row, settings), row.test if len(tests) > 1 or not settings else ""))
        )
        for row in rows
    ]
    return Picture("bars", tuple(marks), tuple(names), say(_UP))


def lines(rows: Sequence[BenchRow], across: str) -> Picture:
    """Return a line for each combination of everything but one number."""
    found = lines_of(rows, across)
    marks = [
        Mark(row, float(value_of(row, across)), row.mean, row.deviation, series)
        for series, line in enumerate(found)
        for row in line.rows
    ]
    names = [" · ".join(short_setting(name, value) for name, value in line.key if value) for line in found]
    return Picture("lines", tuple(marks), tuple(names), say(TITLES[across]), say(_UP))


def roofline(rows: Sequence[BenchRow], machine: Machine, active: Mapping[str, float]) -> Picture:
    """Return operations/s over operations per byte, under what this computer's memory lets through."""
    settings = [name for name in differing(rows, (*SETTINGS, *AMOUNTS)) if name in _ROOF_NAMES]
    series: list[str] = []
    marks: list[Mark] = []
    for point in roof_points(rows, active):
        key = label_of(point.row, settings) or model_of(point.row)
        if key not in series:
            series.append(key)
        more = text(
            "{rate} billion operations/s, {intensity} for each byte of weights",
            rate=Number(point.rate / 1e9, 1),
            intensity=Number(point.intensity, 1),
        )
        marks.append(Mark(point.row, point.intensity, point.rate, 0.0, series.index(key), say(more)))
    across, up = text("Operations for each byte of weights"), text("Operations/s")
    shown = tuple(series) if 1 < len(series) <= _MOST_NAMES else ("",)
    return Picture("roof", tuple(marks), shown, say(across), say(up), roofs_of(machine))


def roofs_of(machine: Machine) -> tuple[tuple[str, float], ...]:
    """Return the bandwidths that are known: of main memory, and of graphics cards that the engine uses."""
    found: list[tuple[str, float]] = []
    if machine.memory_bandwidth:
        found.append((_roof(say(text("Memory")), machine.memory_bandwidth), machine.memory_bandwidth))
    if machine.engine_gpus:
        found += [(_roof(gpu.name, gpu.bandwidth), gpu.bandwidth) for gpu in machine.gpus if gpu.bandwidth]
    return tuple(found)


def _roof(name: str, bandwidth: float) -> str:
    return say(text("{name}: {speed} GB/s", name=name, speed=Number(bandwidth / 1e9)))
