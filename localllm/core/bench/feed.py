"""Hands what a bench measured to the predictions of speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.estimate import subject_of_file
from localllm.core.fit import Placement
from localllm.core.speed import TimedModel
from localllm.core.speed.history import Subject
from localllm.engine.protocol import LoadSettings

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.machine import Machine
    from localllm.core.speed import SpeedHistory
    from localllm.engine.benches import BenchSettings
    from localllm.engine.protocol import BenchTest

_USUAL = LoadSettings()


class SpeedFeed:
    """Adds a model's measured speeds to the history that predictions come from."""

    def __init__(self, speeds: SpeedHistory, machine: Machine, path: Path) -> None:
        self._speeds, self._machine, self._path = speeds, machine, path

    def add(
        self, settings: BenchSettings, test: BenchTest, layers: int, nanoseconds: tuple[int, ...]
    ) -> None:
        """Keep undisturbed repetitions that were made the usual way; `layers` are the model's."""
        usual = (settings.batch, settings.ubatch) == (_USUAL.batch, _USUAL.ubatch)
        if not nanoseconds or not usual or test.sequences > 1 or settings.experts_layers_on_cpu:
            return
        subject = subject_of_file(self._path)
        if subject.shape is None:
            return
        model = TimedModel(subject.shape, subject.weights, subject.quant)
        placement = self._placement(settings, layers)
        name = self._path.name
        self._speeds.add_bench(Subject(self._machine, name, model, placement, settings), test, nanoseconds)

    def _placement(self, settings: BenchSettings, layers: int) -> Placement:
        whole = layers + 1  # llama.cpp counts the output too
        wanted = whole if settings.gpu_layers < 0 else min(settings.gpu_layers, whole)
        if not self._machine.engine_gpus or not wanted:
            return Placement("cpu", 0, 0, 0)
        return Placement("gpu" if wanted == whole else "partly_gpu", wanted, 0, 0)
