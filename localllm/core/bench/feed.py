"""Hands what a bench measured to the predictions of speed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from localllm.core.estimate import subject_of_file
from localllm.core.fit import Placement
from localllm.core.speed import TimedModel
from localllm.core.speed.history import Subject
from localllm.engine.benches import BenchSettings
from localllm.engine.protocol import LoadSettings

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.machine import Machine
    from localllm.core.speed import SpeedHistory
    from localllm.engine.protocol import BenchTest

# what a prediction knows of; anything else has to be as it is by itself
_KNOWN = frozenset(
    field.name for field in dataclasses.fields(LoadSettings) if field.name not in ("batch", "ubatch")
) | {"require_flash_attention", "load_mode", "warm_up", "delay"}


class SpeedFeed:
    """Adds a model's measured speeds to the history that predictions come from."""

    def __init__(self, speeds: SpeedHistory, machine: Machine, path: Path) -> None:
        self._speeds, self._machine, self._path = speeds, machine, path

    def add(
        self, settings: BenchSettings, test: BenchTest, layers: int, nanoseconds: tuple[int, ...]
    ) -> None:
        """Keep undisturbed repetitions that were made the usual way; `layers` are the model's."""
        if not nanoseconds or test.sequences > 1 or not _is_usual(settings):
            return
        subject = subject_of_file(self._path)
        if subject.shape is None or subject.shape.is_encoder:  # which writes nothing, and caches nothing
            return
        model = TimedModel(subject.shape, subject.weights, subject.quant)
        placement = self._placement(settings, layers, experts=subject.experts)
        name = self._path.name
        self._speeds.add_bench(Subject(self._machine, name, model, placement, settings), test, nanoseconds)

    def _placement(self, settings: BenchSettings, layers: int, *, experts: bool) -> Placement:
        whole = layers + 1  # llama.cpp counts the output too
        wanted = whole if settings.gpu_layers < 0 else min(settings.gpu_layers, whole)
        if not self._machine.engine_gpus or not wanted:
            return Placement("cpu", 0, 0, 0)
        moved = min(settings.experts_layers_on_cpu, layers) if experts else 0
        if moved > whole - wanted:
            return Placement("experts_on_cpu", wanted, 0, 0, moved)
        return Placement("gpu" if wanted == whole else "partly_gpu", wanted, 0, 0)


def _is_usual(settings: BenchSettings) -> bool:
    usual = BenchSettings()
    names = (field.name for field in dataclasses.fields(settings) if field.name not in _KNOWN)
    return all(getattr(settings, name) == getattr(usual, name) for name in names)
