"""The table of runs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.bench.compare import Comparison, compare, differences
from localllm.texts import Number, Text, text
from localllm.ui.itemmodels.bench import TITLES, shown_value, speed_of
from localllm.ui.itemmodels.records import Column, RecordTable
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtCore import QObject

    from localllm.core.bench import BenchRow, BenchRun

_SMALLEST_CHANCE = 0.001


@dataclass(frozen=True)
class Side:
    """A test of the first run beside the same one of another run."""

    run: BenchRun
    found: Comparison


class ComparisonTable(RecordTable["Side"]):
    """One row for each test and each further run; the earliest run is what the others are compared with."""

    def __init__(self, runs: Sequence[BenchRun], parent: QObject | None = None) -> None:
        before, *others = sorted(runs, key=lambda run: run.id)
        sides = [Side(run, found) for run in others for found in compare(before.rows, run.rows)]
        tests = list(dict.fromkeys(side.found.test for side in sides))
        sides.sort(key=lambda side: tests.index(side.found.test))
        super().__init__(_columns(before, others, sides), parent)
        self.show_records(sides)


def differences_of(runs: Sequence[BenchRun]) -> list[Text]:
    """Return for each run what it has otherwise than the earliest one."""
    before, *others = sorted(runs, key=lambda run: run.id)
    return [_difference(before, run) for run in others]


def _difference(before: BenchRun, run: BenchRun) -> Text:
    found = differences(before.rows, run.rows)
    words = [
        f"{say(TITLES[name])}: {say(shown_value(name, one))} → {say(shown_value(name, other))}"
        for name, (one, other) in found.items()
        if name in TITLES
    ]
    if not words:
        return text("Run {one} and run {other} were made in the same way.", one=before.id, other=run.id)
    return text("From run {one} to run {other}: {what}.", one=before.id, other=run.id, what="; ".join(words))


def meaning_of(found: Comparison) -> Text | str:
    """Say whether a difference is one."""
    if found.before is None or found.after is None:
        return text("only in one of them")
    if found.ratio is None:
        return text("without a figure")
    if found.chance is None:
        return text("too few repetitions to tell")
    if not found.significant:
        return text("within the noise (p = {chance})", chance=Number(found.chance, 2))
    words = text("faster") if found.ratio > 1 else text("slower")
    if found.chance < _SMALLEST_CHANCE:
        return text("{what} (p < {chance})", what=words, chance=Number(_SMALLEST_CHANCE, 3))
    return text("{what} (p = {chance})", what=words, chance=Number(found.chance, 3))


def _columns(before: BenchRun, others: Sequence[BenchRun], sides: Sequence[Side]) -> tuple[Column[Side], ...]:
    names = list(dict.fromkeys(name for side in sides for name in side.found.settings if name in TITLES))
    after = text("Run {number}", number=others[0].id) if len(others) == 1 else text("Tokens/s")
    run: Column[Side] = Column(text("Run"), lambda side: str(side.run.id), lambda side: side.run.id)
    return (
        Column(text("Test"), lambda side: side.found.test, lambda side: side.found.test),
        *(_setting_column(name) for name in names),
        *((run,) if len(others) > 1 else ()),
        Column(
            text("Run {number}", number=before.id),
            lambda side: _speed(side.found.before),
            lambda side: _mean(side.found.before),
            right=True,
        ),
        Column(
            after,
            lambda side: _speed(side.found.after),
            lambda side: _mean(side.found.after),
            right=True,
        ),
        Column(text("Ratio"), _ratio, lambda side: side.found.ratio or 0.0, right=True),
        Column(
            text("Difference"), lambda side: meaning_of(side.found), lambda side: side.found.chance or 0.0
        ),
    )


def _setting_column(name: str) -> Column[Side]:
    def shown(side: Side) -> Text | str:
        value = side.found.settings.get(name, "")
        return shown_value(name, value)

    return Column(TITLES[name], shown, lambda side: say(shown(side)))


def _speed(row: BenchRow | None) -> Text | str:
    return speed_of(row) if row is not None else "–"


def _mean(row: BenchRow | None) -> float:
    return row.mean if row is not None else 0.0


def _ratio(side: Side) -> Text | str:
    ratio = side.found.ratio
    return "–" if ratio is None else text("× {ratio}", ratio=Number(ratio, 3))
