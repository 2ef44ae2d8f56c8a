"""An engine that measures; after a fault of its own, another one that does without what failed."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.core.engine_limits import weight_layout_works
from localllm.core.ways_around import WaysAround
from localllm.engine.benches import BenchRefusal
from localllm.engine.client import Engine
from localllm.engine.protocol import BenchSample
from localllm.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.core.machine import Machine
    from localllm.engine.protocol import BenchTest, LoadSettings
    from localllm.progress import Progress


class Bencher:
    """Owns an engine process; `close` ends it.

    `limits_file` keeps what the engine cannot do on this machine.
    """

    def __init__(self, machine: Machine, limits_file: Path) -> None:
        self._machine, self._limits_file = machine, limits_file
        self.weight_layout = weight_layout_works(limits_file, machine)
        self._engine = Engine()
        self._without: tuple[str, ...] = ()

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
            EngineError: The engine refused the model, or ended; also if the driver of a graphics card failed
                that has layers.
            Cancelled: Through `progress`.
        """
        on_card = settings.gpu_layers > 0
        if on_card and self._without:
            self._start_again(())
        wished = replace(settings, extra_buffers=settings.extra_buffers and self.weight_layout)
        ways = WaysAround(wished, self._machine, self._limits_file, keep_card=on_card)
        while True:
            try:
                found = self._measure(path, ways.settings, tests, progress, seconds)
            except EngineError as error:
                if not ways.go_on(error):
                    raise
                self._start_again(ways.without)
            else:
                ways.succeeded()
                self.weight_layout = self.weight_layout and not ways.without_layout
                return found

    def _start_again(self, without: tuple[str, ...]) -> None:
        self._engine.kill()
        self._engine, self._without = Engine(without), without

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
        found: list[list[int]] = [[] for _ in tests]
        for event in self._engine.bench(path, settings, tests, progress):
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
