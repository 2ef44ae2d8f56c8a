"""Exact figures from llama.cpp itself: an inspector child, and what it answered before.

Answers are kept by the header's hash, the settings, and the engine's version and devices, in memory and in
one SQLite file of the cache folder.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from typing import TYPE_CHECKING

from localllm.core.estimate.records import HOST
from localllm.core.mended_database import in_database
from localllm.core.ways_around import is_its_own_fault
from localllm.engine.client import Engine
from localllm.engine.protocol import DeviceBuffers, DryRun, buffers_from_records, to_record
from localllm.engine.version import engine_version
from localllm.errors import DriverFailed, EngineDied

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.estimate.subject import Subject
    from localllm.progress import Progress

_log = logging.getLogger(__name__)

_SCHEMA = "CREATE TABLE IF NOT EXISTS dry_runs (question TEXT PRIMARY KEY, buffers TEXT NOT NULL) STRICT"
_TRIES = 2  # an inspector that was killed from outside says nothing about the file


class DryRuns:
    """May be used from any thread; one question at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._known: dict[str, tuple[DeviceBuffers, ...]] = {}
        self._refused: set[str] = set()
        self._version = engine_version()

    def measure(
        self, subject: Subject, settings: DryRun, devices: tuple[str, ...], progress: Progress | None = None
    ) -> tuple[DeviceBuffers, ...] | None:
        """Return what each device would hold; None where llama.cpp cannot say.

        Args:
            subject: With a header.
            settings: The very settings.
            devices: Names of the GPUs that the engine sees; another set is another question.
            progress: May cancel.

        Raises:
            BadModelFile, EngineError: llama.cpp refuses the file or the settings.
            Cancelled: Through `progress`.
        """
        if subject.file is None:
            return None
        question = json.dumps([subject.key, to_record(settings), self._version, devices], sort_keys=True)
        with self._lock:
            if question in self._refused:
                return None
            answer = self._known.get(question) or self._recall(question)
            if answer is None:
                answer = self._ask(subject.file, settings, progress)
                if answer is None or {entry.device for entry in answer} != {HOST, *devices}:
                    self._refused.add(
                        question
                    )  # or the engine sees other devices than the machine is said to have
                    return None
                self._keep(question, answer)
            self._known[question] = answer
            return answer

    def rest(self) -> None:
        """End the inspector and give back what it holds, on a GPU half a GiB; it starts again when needed."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.stop()

    def _ask(
        self, path: Path, settings: DryRun, progress: Progress | None
    ) -> tuple[DeviceBuffers, ...] | None:
        for _ in range(_TRIES):
            if self._engine is None or not self._engine.alive:
                self._engine = Engine()
            try:
                self._engine.wait_until_ready(progress)
                return self._engine.dry_run(path, settings, progress)
            except (EngineDied, DriverFailed) as error:
                _log.warning("The dry run of “%s” ended: %s %s", path.name, error, error.detail)
                self._engine.kill()  # a driver that failed leaves it alive
                self._engine = None
                if is_its_own_fault(error):  # llama.cpp asserts on some files and layouts
                    break  # then there is the formula
        return None

    def _recall(self, question: str) -> tuple[DeviceBuffers, ...] | None:
        try:
            query = "SELECT buffers FROM dry_runs WHERE question = ?"
            row = in_database(self._file, _SCHEMA, lambda db: db.execute(query, (question,)).fetchone())
            return buffers_from_records(json.loads(row[0])) if row else None
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            _log.warning("Kept dry runs cannot be read: %s", error)
            return None

    def _keep(self, question: str, answer: tuple[DeviceBuffers, ...]) -> None:
        content = json.dumps([to_record(entry) for entry in answer])
        try:
            statement = "INSERT OR REPLACE INTO dry_runs VALUES (?, ?)"
            in_database(self._file, _SCHEMA, lambda db: db.execute(statement, (question, content)))
        except (sqlite3.Error, OSError) as error:
            _log.warning("A dry run cannot be kept: %s", error)
