"""What loads really took: each one is compared with its prediction, and teaches the next.

llama.cpp's buffers are predicted exactly by the dry run; what differs between computers is the rest: the
engine's process with its libraries and vocabulary, and what a driver takes on a GPU. Both are learned here.
One SQLite file, safe with several processes; it can be thrown away.
"""

from __future__ import annotations

import logging
import sqlite3
import statistics
import time
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

from localllm.core.fit.memory import VOCABULARY_BYTES
from localllm.core.mended_database import in_database

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

_REMEMBERED = 40  # loads of one backend that a prediction looks at
_SCHEMA = """
CREATE TABLE IF NOT EXISTS loads (
    place TEXT NOT NULL, backend TEXT NOT NULL, model TEXT NOT NULL, name TEXT NOT NULL,
    vocabulary INTEGER NOT NULL, predicted INTEGER NOT NULL, used INTEGER NOT NULL,
    host_overhead INTEGER NOT NULL, gpu_overhead INTEGER NOT NULL, at REAL NOT NULL
) STRICT
"""


@dataclass(frozen=True)
class Load:
    """One load.

    Attributes:
        place: This computer and engine version.
        backend: The devices that took part: "CPU", "CPU+CUDA0".
        model: Hash of the header.
        predicted: Bytes, all devices together; likewise `used`.
        host_overhead: Bytes of the engine's process besides llama.cpp's buffers.
        gpu_overhead: Bytes on all GPUs besides them; 0 = not known.
        at: Seconds since 1970.
    """

    place: str
    backend: str
    model: str
    name: str
    vocabulary: int
    predicted: int
    used: int
    host_overhead: int
    gpu_overhead: int = 0
    at: float = 0.0

    @property
    def residual(self) -> float:
        """(used - predicted) / used."""
        return (self.used - self.predicted) / max(1, self.used)


class LoadHistory:
    """Remembers loads, and predicts overheads from them; a disk that refuses costs the memory of it only."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, load: Load) -> None:
        """Keep a load."""
        row = (*astuple(load)[:-1], load.at or time.time())
        marks = ", ".join("?" * len(row))
        try:
            in_database(
                self._file,
                _SCHEMA,
                lambda db: db.execute(f"INSERT INTO loads VALUES ({marks})", row),  # noqa: S608 - marks
            )
        except (sqlite3.Error, OSError) as error:
            _log.warning("A load could not be kept: %s", error)

    def last(self, place: str, backend: str) -> list[Load]:
        """Return the loads of a backend, the newest first."""
        names = ", ".join(field.name for field in fields(Load))
        query = f"SELECT {names} FROM loads WHERE place = ? AND backend = ? ORDER BY rowid DESC LIMIT ?"  # noqa: S608
        try:
            rows = in_database(
                self._file, _SCHEMA, lambda db: db.execute(query, (place, backend, _REMEMBERED)).fetchall()
            )
            return [Load(*row) for row in rows]
        except (sqlite3.Error, OSError) as error:
            _log.warning("Earlier loads cannot be read: %s", error)
            return []


def engine_overhead(loads: list[Load]) -> int | None:
    """Return what the engine's process takes besides its buffers and vocabulary; None if nothing is known."""
    bare = [load.host_overhead - VOCABULARY_BYTES * load.vocabulary for load in loads if load.host_overhead]
    return int(max(0, statistics.median(bare))) if bare else None


def host_overhead(loads: list[Load], model: str, vocabulary: int) -> int | None:
    """Return what the engine's process took when this model was loaded, else what it takes with others."""
    own = [load.host_overhead for load in loads if load.model == model and load.host_overhead]
    bare = engine_overhead(loads)
    if own:
        return own[0]
    return bare + VOCABULARY_BYTES * vocabulary if bare is not None else None


def gpu_overhead(loads: list[Load], model: str) -> int | None:
    """Return the bytes that drivers will take on the GPUs; None if nothing is known.

    The same model's largest, else the largest of all: too little ends the engine, too much costs nothing.
    """
    own = [load.gpu_overhead for load in loads if load.model == model and load.gpu_overhead]
    every = own or [load.gpu_overhead for load in loads if load.gpu_overhead]
    return max(every, default=None)
