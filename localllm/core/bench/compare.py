"""Runs side by side: each test of one beside the same test of another, with ratio and significance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from localllm.core.bench.rows import FIELDS
from localllm.core.bench.statistics import welch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from localllm.core.bench.rows import BenchRow, Value

SIGNIFICANT = 0.05
_TEST = ("n_prompt", "n_gen", "n_depth")
_NOT_SETTINGS = (*_TEST, "test_time", "build_number")


@dataclass(frozen=True)
class Comparison:
    """One test in two runs.

    Attributes:
        settings: What it has besides its name, of the settings that vary within a run.
        before, after: The rows; None where a run does not have the test.
    """

    test: str
    settings: Mapping[str, Value]
    before: BenchRow | None
    after: BenchRow | None

    @property
    def ratio(self) -> float | None:
        """Mean tokens/s after by before; None without both."""
        one, other = _speeds(self.before), _speeds(self.after)
        return (sum(other) / len(other)) / (sum(one) / len(one)) if one and other else None

    @property
    def chance(self) -> float | None:
        """Probability of such a difference by chance; None for fewer than two repetitions."""
        return welch(_speeds(self.before), _speeds(self.after))

    @property
    def significant(self) -> bool:
        """Whether chance does not explain the difference."""
        return self.chance is not None and self.chance < SIGNIFICANT


def compare(before: Sequence[BenchRow], after: Sequence[BenchRow]) -> list[Comparison]:
    """Return every test of either run, in the order of the first.

    A setting that varies within a run tells its tests apart; one that only differs between the runs is what
    is compared. Disturbed repetitions count only where there are no two others.
    """
    varying = [name for name in FIELDS if name not in _NOT_SETTINGS and _varies(name, (before, after))]
    tables = [{_key(row, varying): row for row in rows} for rows in (before, after)]
    found: list[Comparison] = []
    for key in dict.fromkeys([*tables[0], *tables[1]]):
        one, other = tables[0].get(key), tables[1].get(key)
        row = one or other
        if row is not None:
            settings = {name: setting(row, name) for name in varying}
            found.append(Comparison(row.test, settings, one, other))
    return found


def differences(before: Sequence[BenchRow], after: Sequence[BenchRow]) -> dict[str, tuple[Value, Value]]:
    """Return the settings that each run has one value of, but not the same."""
    found: dict[str, tuple[Value, Value]] = {}
    for name in FIELDS:
        values = [{setting(row, name) for row in rows} for rows in (before, after)]
        if name not in _NOT_SETTINGS and all(len(each) == 1 for each in values) and values[0] != values[1]:
            found[name] = (values[0].pop(), values[1].pop())
    return found


def setting(row: BenchRow, name: str) -> Value:
    """Return a field as it is compared: of a path the file's name."""
    value = row.fields.get(name, "")
    return PurePath(str(value)).name if name == "model_filename" else value


def _varies(name: str, runs: Iterable[Sequence[BenchRow]]) -> bool:
    return any(len({setting(row, name) for row in rows}) > 1 for rows in runs)


def _key(row: BenchRow, varying: Sequence[str]) -> tuple[object, ...]:
    test = (row.number(name) for name in _TEST)
    return (*test, row.sequences, *(setting(row, name) for name in varying))


def _speeds(row: BenchRow | None) -> list[float]:
    if row is None:
        return []
    good = row.undisturbed if len(row.undisturbed) > 1 else row.samples
    return [1e9 * row.tokens / sample for sample in good]
