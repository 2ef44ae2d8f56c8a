"""How much energy the processor's and the graphics processors' own meters counted.

Linux's powercap (RAPL of Intel and AMD; many systems let only the administrator read it) and NVIDIA's
management library. Memory, disks, fans and the screen are not in it.
"""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.texts import text

if TYPE_CHECKING:
    from localllm.texts import Text

_POWERCAP = Path("/sys/class/powercap")
_MICROJOULES, _MILLIJOULES = 1e6, 1e3
_JOULES_PER_KWH = 3.6e6


class Meters:
    """The meters of this computer; `close` gives NVIDIA's library back."""

    def __init__(self, powercap: Path = _POWERCAP) -> None:
        self._zones = [zone for zone in _zones(powercap) if _number(zone / "energy_uj") is not None]
        self._nvml, self._cards = _cards()

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._zones or self._cards)

    def read(self) -> Reading | None:
        """Return what the meters show; None where there is none, or one does not answer."""
        if not self.any:
            return None
        zones = [_number(zone / "energy_uj") for zone in self._zones]
        ranges = [(_number(zone / "max_energy_range_uj") or 0) / _MICROJOULES for zone in self._zones]
        shown = [joules / _MICROJOULES for joules in zones if joules is not None]
        if len(shown) < len(zones):
            return None
        for card in self._cards:
            try:
                shown.append(self._nvml.nvmlDeviceGetTotalEnergyConsumption(card) / _MILLIJOULES)
            except self._nvml.NVMLError:  # it was reset, or taken away
                return None
        return Reading(shown, ranges)

    def close(self) -> None:
        """Give NVIDIA's library back."""
        if self._nvml is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()


class Reading:
    """What every meter showed at one moment, joules; `ranges` is where processors' meters begin anew."""

    def __init__(self, shown: list[float], ranges: list[float]) -> None:
        self._shown, self._ranges = shown, ranges

    def since(self, earlier: Reading) -> float:
        """Return the joules between two moments."""
        total = 0.0
        for number, (now, before) in enumerate(zip(self._shown, earlier._shown, strict=True)):
            turned = self._ranges[number] if now < before and number < len(self._ranges) else 0.0
            total += max(0.0, now - before + turned)
        return total


def cost_per_million(joules_per_token: float, price_per_kwh: float) -> float:
    """Return what a million tokens cost, in the currency of the price."""
    return joules_per_token * 1e6 / _JOULES_PER_KWH * price_per_kwh


def why_no_energy(powercap: Path = _POWERCAP) -> Text | None:
    """Return why this computer does not say what energy its processor takes; None where it does."""
    zones = _zones(powercap)
    if any(_number(zone / "energy_uj") is not None for zone in zones):
        return None
    if zones:
        return text(
            "Energy and costs are not shown: only the administrator may read this processor's meter, {file}.",
            file=str(zones[0] / "energy_uj"),
        )
    return text("Energy and costs are not shown: this computer has no meter that programs can read.")


def _zones(powercap: Path) -> list[Path]:
    """Return the zones of whole processors: "intel-rapl:0", not its parts "intel-rapl:0:0"."""
    with contextlib.suppress(OSError):
        return sorted(zone for zone in powercap.glob("intel-rapl:*") if zone.name.count(":") == 1)
    return []


def _number(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text())
    return None


def _cards() -> tuple[Any, list[Any]]:
    nvml: Any = importlib.import_module("pynvml")
    cards: list[Any] = []
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None, cards
    with contextlib.suppress(nvml.NVMLError):
        for index in range(nvml.nvmlDeviceGetCount()):
            card = nvml.nvmlDeviceGetHandleByIndex(index)
            with contextlib.suppress(nvml.NVMLError):  # cards before Volta do not count
                nvml.nvmlDeviceGetTotalEnergyConsumption(card)
                cards.append(card)
    return nvml, cards
