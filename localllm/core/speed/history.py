"""Every measured speed of this computer, kept in one SQLite file: calibrations, benches and real answers.

Rows are only added. They belong to one machine (processor, cores, GPUs, engine version), so that another
card or engine starts anew. The quantities of work are kept beside the seconds, under the number of the
formula that they come from; rows of another formula are passed over.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from localllm.core.mended_database import in_database
from localllm.core.speed.fits import SpeedFits, figures, work_of_prompt, work_of_token
from localllm.core.speed.linear import Observation
from localllm.core.speed.table import table_rates
from localllm.core.speed.work import Place
from localllm.engine.version import engine_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from localllm.core.fit import Placement
    from localllm.core.machine import Machine
    from localllm.core.speed.work import TimedModel
    from localllm.engine.protocol import BenchTest, LoadSettings, Stats

_log = logging.getLogger(__name__)

Source = Literal["calibration", "bench", "answer"]
FORMULA = 1  # counts up when `core.speed.work` changes
NEWEST = 400  # rows that are looked at
_FEWEST_WRITTEN, _FEWEST_READ = 8, 64  # tokens; shorter answers say more of the clock than of the machine
_TABLES = """
    PRAGMA synchronous=NORMAL;
    CREATE TABLE IF NOT EXISTS speeds (
        id INTEGER PRIMARY KEY,
        created REAL NOT NULL,
        formula INTEGER NOT NULL,
        machine TEXT NOT NULL,
        threads INTEGER NOT NULL,
        source TEXT NOT NULL,
        run TEXT NOT NULL,
        model TEXT NOT NULL,
        phase TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        quantities TEXT NOT NULL,
        seconds REAL NOT NULL
    );
    CREATE INDEX IF NOT EXISTS speeds_of_machine ON speeds (machine, threads, formula);
    CREATE TABLE IF NOT EXISTS calibrations (
        id INTEGER PRIMARY KEY,
        created REAL NOT NULL,
        machine TEXT NOT NULL,
        threads INTEGER NOT NULL,
        run TEXT NOT NULL,
        facts TEXT NOT NULL
    );
"""


def machine_key(machine: Machine) -> str:
    """Return the name under which a computer's speeds are kept."""
    gpus = [gpu.name for gpu in machine.gpus if gpu.usable is not False]
    return " | ".join((machine.cpu.name, str(machine.cpu.usable_cores), *gpus, engine_version()))


@dataclass(frozen=True)
class Subject:
    """What a measurement was made with.

    Attributes:
        name: Of the model, the same each time: its file's name.
        settings: With the threads it really has.
    """

    machine: Machine
    name: str
    model: TimedModel
    placement: Placement
    settings: LoadSettings

    @property
    def key(self) -> str:
        """The model with all settings that decide its speed."""
        return key_of(self.name, self.placement, self.settings)

    @property
    def place(self) -> Place:
        """Which part is where."""
        return Place.of(self.placement, self.model.shape, self.settings.kv_type_k, self.settings.kv_type_v)


def key_of(name: str, placement: Placement, settings: LoadSettings) -> str:
    """Return the key of a model with all settings that decide its speed."""
    layers = placement.gpu_layers if placement.kind == "partly_gpu" else 0
    if placement.kind == "experts_on_cpu" and placement.experts_layers_on_cpu < placement.gpu_layers - 1:
        layers = placement.experts_layers_on_cpu
    kinds = f"{settings.kv_type_k} {settings.kv_type_v} fa{settings.flash_attention:d}"
    return f"{name} {placement.kind} {layers} {kinds}"


class SpeedHistory:
    """The measured speeds; may be used from any thread, and by several programs at once.

    A file that cannot be read or written costs the memory of speeds only: that is logged, not raised.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._fits: dict[tuple[str, int], tuple[int, SpeedFits | None]] = {}

    def add_answer(self, subject: Subject, stats: Stats) -> None:
        """Keep what a real answer took; one that is too short to say anything is passed over."""
        rows: list[_Row] = []
        if stats.completion_tokens >= _FEWEST_WRITTEN and stats.tokens_per_second > 0:
            depth = max(0.0, stats.context_used - stats.completion_tokens / 2)
            quantities = work_of_token(subject.model, subject.place, depth)
            rows.append(("writing", stats.completion_tokens, quantities, 1 / stats.tokens_per_second))
        read = stats.prompt_tokens - stats.reused_tokens
        if read >= _FEWEST_READ and stats.prompt_ms > 0 and stats.stop_reason != "cancelled":
            quantities = work_of_prompt(subject.model, subject.place, read, stats.reused_tokens)
            rows.append(("reading", read, quantities, stats.prompt_ms / 1000 / read))
        self._add(subject, "answer", "", rows)

    def add_bench(
        self, subject: Subject, test: BenchTest, nanoseconds: Sequence[int], *, calibration: str = ""
    ) -> None:
        """Keep the best of a test's repetitions; a test that both reads and writes is passed over.

        `calibration` names the calibration that this is part of, "" for none.
        """
        tokens = test.prompt_tokens or test.generated_tokens
        if not nanoseconds or not tokens or (test.prompt_tokens and test.generated_tokens):
            return
        if test.prompt_tokens:
            phase, quantities = "reading", work_of_prompt(subject.model, subject.place, tokens, test.depth)
        else:
            depth = test.depth + tokens / 2
            phase, quantities = "writing", work_of_token(subject.model, subject.place, depth)
        row = (phase, tokens, quantities, min(nanoseconds) / 1e9 / tokens)
        self._add(subject, "calibration" if calibration else "bench", calibration, [row])

    def end_calibration(self, machine: Machine, threads: int, run: str, facts: dict[str, object]) -> None:
        """Say that a calibration is complete; until then none of it counts."""
        values = (time.time(), machine_key(machine), threads, run, json.dumps(facts))
        self._write(
            "INSERT INTO calibrations (created, machine, threads, run, facts) VALUES (?, ?, ?, ?, ?)",
            [values],
        )

    def calibration(self, machine: Machine, threads: int | None = None) -> dict[str, object] | None:
        """Return the facts of the newest calibration with so many threads (default: all cores)."""
        rows = self._read(
            "SELECT run, facts FROM calibrations WHERE machine = ? AND threads = ? ORDER BY id DESC LIMIT 1",
            machine_key(machine),
            threads or machine.cpu.usable_cores,
        )
        try:
            return {**json.loads(str(rows[0][1])), "run": rows[0][0]} if rows else None
        except (ValueError, TypeError):
            _log.warning("The facts of a calibration cannot be read")
            return None

    def fits(self, machine: Machine, threads: int | None = None) -> SpeedFits | None:
        """Return what was measured on a computer with so many threads (default: all its cores).

        None before anything was. The answer is kept until something is added, also by another program.
        """
        threads = threads or machine.cpu.usable_cores
        key = (machine_key(machine), threads)
        newest = self._read(
            "SELECT max(id), (SELECT max(id) FROM calibrations) FROM speeds WHERE machine = ?", key[0]
        )
        stamp = hash(newest[0]) if newest else 0
        known = self._fits.get(key)
        if known is None or known[0] != stamp:
            known = self._fits[key] = (stamp, self._compute(machine, threads))
        return known[1]

    def _compute(self, machine: Machine, threads: int) -> SpeedFits | None:
        calibration = self.calibration(machine, threads)
        rows = self._read(
            "SELECT phase, model, quantities, seconds, source FROM speeds WHERE machine = ? AND threads = ? "
            "AND formula = ? AND (source != 'calibration' OR run = ?) ORDER BY id DESC LIMIT ?",
            machine_key(machine), threads, FORMULA, str(calibration["run"]) if calibration else "", NEWEST,
        )  # fmt: skip
        if not rows:
            return None
        writing, reading = table_rates(machine, threads)
        rates: dict[str, Sequence[float]] = {"writing": writing, "reading": reading}
        seen: dict[str, list[Observation]] = {"writing": [], "reading": []}
        for phase, *row in rows:
            try:
                seen[str(phase)].append(_observation(row, len(rates[str(phase)])))
            except (ValueError, TypeError, KeyError):
                _log.warning("A measured speed makes no sense and is passed over")
        devices = cast("dict[str, str]", calibration.get("devices", {})) if calibration else {}
        return SpeedFits(
            threads,
            figures(seen["writing"], writing),
            figures(seen["reading"], reading),
            devices,
        )

    def _add(self, subject: Subject, source: Source, run: str, rows: Iterable[_Row]) -> None:
        threads = subject.settings.threads
        head = (time.time(), FORMULA, machine_key(subject.machine), threads, source, run, subject.key)
        self._write(
            "INSERT INTO speeds (created, formula, machine, threads, source, run, model, phase, tokens, "
            "quantities, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*head, phase, tokens, json.dumps(work), seconds) for phase, tokens, work, seconds in rows],
        )

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        try:
            with self._lock:
                in_database(self._file, _TABLES, lambda db: db.executemany(statement, rows), shared=True)
        except (OSError, sqlite3.Error):
            _log.warning("A measured speed could not be kept", exc_info=True)

    def _read(self, query: str, *values: object) -> list[tuple[object, ...]]:
        if not self._file.exists():
            return []
        try:
            with self._lock:
                return in_database(
                    self._file, _TABLES, lambda db: db.execute(query, values).fetchall(), shared=True
                )
        except (OSError, sqlite3.Error):
            _log.warning("The measured speeds could not be read", exc_info=True)
            return []


def _observation(row: Sequence[object], quantities: int) -> Observation:
    """Read model, quantities, seconds and source.

    Raises:
        ValueError, TypeError: They are none, or not so many quantities.
    """
    model, packed, seconds, source = row
    numbers = tuple(float(number) for number in json.loads(str(packed)))
    took = float(str(seconds))
    sound = all(0 <= number < math.inf for number in numbers) and any(numbers)
    if len(numbers) != quantities or not sound or not 0 < took < math.inf:
        raise ValueError("it is no work that took time")
    return Observation(str(model), numbers, took, source == "calibration")


_Row = tuple[str, int, tuple[float, ...], float]
