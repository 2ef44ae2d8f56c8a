"""Size, speed and divergence of all that was measured of one model here, and which are worth having."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from localllm.core.evaluate.results import Evaluation, Measured


@dataclass(frozen=True)
class ChartPoint:
    """One file.

    Attributes:
        size: Bytes.
        speed: Tokens/s of an answer here, None = not known.
        speed_measured: Whether that was measured, rather than predicted.
        divergence: Mean, nats per token; 0 for the reference itself.
        error: Its standard error.
        on_front: No other one is as small, as fast and as true, and better in one of the three.
    """

    name: str
    path: str
    quant: str
    size: int
    speed: float | None
    speed_measured: bool
    divergence: float
    error: float
    same_top: float
    is_base: bool = False
    on_front: bool = False


@dataclass(frozen=True)
class Chart:
    """What was compared with one reference on one text; the smallest file first."""

    base: Measured
    text_name: str
    chunks: int
    points: tuple[ChartPoint, ...]


def make_charts(results: Iterable[Evaluation]) -> list[Chart]:
    """Return one chart for each reference, text and number of chunks, in the order of the results."""
    groups: dict[tuple[str, str, int, int], list[Evaluation]] = {}
    for result in results:
        if result.base is not None and result.figures.comparison and result.kv_types == "f16/f16":
            key = (result.base.hash, result.text_hash, result.chunk_tokens, result.figures.chunks)
            groups.setdefault(key, []).append(result)
    return [_chart(group) for group in groups.values()]


def pareto_front(points: Sequence[ChartPoint]) -> list[ChartPoint]:
    """Return the points with those marked that no other one beats."""
    return [replace(point, on_front=not any(beats(other, point) for other in points)) for point in points]


def beats(one: ChartPoint, other: ChartPoint) -> bool:
    """Tell whether one is nowhere worse and somewhere better; unknown speed is not compared."""
    pairs = [(-one.size, -other.size), (-one.divergence, -other.divergence)]
    if one.speed is not None and other.speed is not None:
        pairs.append((one.speed, other.speed))
    return all(mine >= its for mine, its in pairs) and any(mine > its for mine, its in pairs)


def _chart(group: list[Evaluation]) -> Chart:
    newest = group[0]
    base = newest.base
    if base is None:
        raise AssertionError("a chart is of results with a reference")
    points = [_point(result) for result in group if result.model.hash != base.hash]
    itself = ChartPoint(
        base.name, base.path, base.quant, base.size, base.speed, base.speed_measured, 0.0, 0.0, 1.0,
        is_base=True,
    )  # fmt: skip
    marked = sorted(pareto_front([*points, itself]), key=lambda point: point.size)
    return Chart(base, newest.text_name, newest.figures.chunks, tuple(marked))


def _point(result: Evaluation) -> ChartPoint:
    model, comparison = result.model, result.figures.comparison
    if comparison is None:
        raise AssertionError("a chart is of results with a reference")
    mean = comparison.divergence.mean
    return ChartPoint(
        model.name, model.path, model.quant, model.size, model.speed, model.speed_measured, mean.value,
        mean.error, comparison.same_top.value,
    )  # fmt: skip
