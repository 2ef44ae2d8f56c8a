"""What is tried after a fault of the engine, by everything that loads a model."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from localllm.core.engine_build import read_engine_build
from localllm.core.engine_limits import remember_crash, weight_layout_works
from localllm.engine.protocol import LoadSettings
from localllm.errors import DriverFailed, EngineDied, EngineError, LocalLLMError

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.machine import Machine

_log = logging.getLogger(__name__)
Settings = TypeVar("Settings", bound=LoadSettings)


class WaysAround(Generic[Settings]):
    """After a crash without this processor's weight layout; then, or if a driver gave up, without drivers.

    Args:
        settings: As somebody wants them.
        machine: This computer; None if it was not described, which needs `limits_file` to be None.
        limits_file: What the engine cannot do here; a crash of the weight layout is remembered there. None
            keeps the layout as the settings say.
        keep_card: Whether the work makes no sense without the graphics card.

    Attributes:
        settings: To be loaded with now.
        without: Drivers to do without now.
    """

    def __init__(
        self,
        settings: Settings,
        machine: Machine | None = None,
        limits_file: Path | None = None,
        *,
        keep_card: bool = False,
    ) -> None:
        self._machine, self._limits_file, self._keep_card = machine, limits_file, keep_card
        if limits_file and machine and not weight_layout_works(limits_file, machine):
            settings = replace(settings, extra_buffers=False)
        self.settings = settings
        self.without: tuple[str, ...] = ()
        self._left: list[tuple[Settings, tuple[str, ...]]] | None = None

    def go_on(self, failure: EngineError) -> bool:
        """Choose the next way after this one failed; False if the failure is to be told."""
        if not is_its_own_fault(failure):
            return False
        if self._left is None:
            self._left = self._others(failure)
        if not self._left:
            return False
        _log.warning("The engine failed, and is tried otherwise: %s", failure)
        self.settings, self.without = self._left.pop(0)
        return True

    @property
    def without_layout(self) -> bool:
        """Whether the weight layout is left out now because the engine crashed with it."""
        return self._left is not None and not self.without

    def succeeded(self) -> None:
        """Remember what the way that went well says of the weight layout."""
        if self.without_layout and self._limits_file and self._machine:
            remember_crash(self._limits_file, self._machine)

    def _others(self, failure: EngineError) -> list[tuple[Settings, tuple[str, ...]]]:
        plain = replace(self.settings, extra_buffers=False) if self._limits_file else self.settings
        ways: list[tuple[Settings, tuple[str, ...]]] = []
        if plain != self.settings and not isinstance(failure, DriverFailed):
            ways.append((plain, ()))
        known = self._machine.engine if self._machine else None
        build = None if self._keep_card else known or read_engine_build()
        if build and build.drivers:
            ways.append((replace(plain, gpu_layers=0), build.drivers))
        return ways


def is_its_own_fault(error: LocalLLMError) -> bool:
    """Tell whether the engine crashed, or its driver failed, rather than refused what it was asked."""
    return isinstance(error, DriverFailed) or (isinstance(error, EngineDied) and error.crashed)
