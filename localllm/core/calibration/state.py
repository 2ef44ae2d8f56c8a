"""What may slow this computer down besides other programs: its battery, and heat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable


def on_battery() -> bool:
    """Tell whether the computer runs on its battery; False where that is not known."""
    battery = _ask("sensors_battery")
    return bool(battery is not None and battery.power_plugged is False)


def hottest() -> float | None:
    """Return the highest temperature of a processor, °C; None where the system does not say."""
    sensors: dict[str, list[Any]] = _ask("sensors_temperatures") or {}
    names = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")
    values: list[float] = [
        entry.current for name in names for entry in sensors.get(name, []) if entry.current
    ]
    return max(values, default=None)


def _ask(name: str) -> Any:
    """Ask psutil what not every system has."""
    ask: Callable[[], Any] | None = getattr(psutil, name, None)
    try:
        return ask() if ask else None
    except (OSError, ValueError, RuntimeError):
        return None
