"""An engine that measures; where it crashes with this processor's weight layout, one without it."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.core.engine_limits import remember_crash, weight_layout_works
from localllm.engine.benches import BenchRefusal
from localllm.engine.client import Engine
from localllm.engine.protocol import BenchSample
from localllm.errors import EngineDied

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.core.machine import Machine
    from localllm.engine.protocol import BenchTest, LoadSettings
    from localllm.progress import Progress

_log = logging.getLogger(__name__)


class Bencher:
    """Owns an engine process; `close` ends it.

    `limits_file` keeps what the engine cannot do on this machine.
    """

    def __init__(self, machine: Machine, limits_file: Path) -> None:
        self._machine, self._limits_file = machine, limits_file
        self.weight_layout = weight_layout_works(limits_file, machine)
        self._engine = Engine()

    @property
    def pid(self) -> int:
        """The number of the engine's process."""
        return self._engine.pid

    def devices(self, progress: Progress) -> list[dict[str, object]]:
        """Return ggml's own device list."""
        self._engine.wait_until_ready(progress)
        return self._engine.devices()["devices"]

    def measure(
        self,
        path: Path,
        settings: LoadSettings,
        tests: Sequence[BenchTest],
        progress: Progress,
        seconds: float = math.inf,
    ) -> list[list[int]]:
        """Return the nanoseconds of the repetitions of each test: fewer once `seconds` have passed.

        Raises:
            EngineError: The engine refused the model, or ended.
            Cancelled: Through `progress`.
        """
        try:
            return self._measure(path, settings, tests, progress, seconds)
        except EngineDied as error:
            if not self.weight_layout or not error.crashed:
                raise
            _log.warning("Measuring with this processor's own weight layout failed: %s", error)
            self.weight_layout = False
            self._engine = Engine()
            found = self._measure(path, settings, tests, progress, seconds)
            remember_crash(self._limits_file, self._machine)
            return found

    def _measure(
        self,
        path: Path,
        settings: LoadSettings,
        tests: Sequence[BenchTest],
        progress: Progress,
        seconds: float,
    ) -> list[list[int]]:
        end = time.monotonic() + seconds
        self._engine.wait_until_ready(progress)
        used = replace(settings, extra_buffers=settings.extra_buffers and self.weight_layout)
        found: list[list[int]] = [[] for _ in tests]
        for event in self._engine.bench(path, used, tests, progress):
            if isinstance(event, BenchRefusal):
                raise event.error
            if isinstance(event, BenchSample):
                found[event.test].append(event.nanoseconds)
            if time.monotonic() > end and all(found):
                break
        return found

    def close(self) -> None:
        """End the engine."""
        self._engine.stop()
