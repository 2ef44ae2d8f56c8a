"""Reads the Windows registry below HKEY_LOCAL_MACHINE."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def read_key(key: str) -> list[Mapping[str, str | int]]:
    """Return the values of a key, then those of its children named by numbers ("0000", "0001", …)."""
    winreg: Any = importlib.import_module("winreg")
    found: list[Mapping[str, str | int]] = []
    with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
        found.append(dict(_values(winreg, opened)))
        for name in _children(winreg, opened):
            if name.isdigit():
                with contextlib.suppress(OSError), winreg.OpenKey(opened, name) as child:
                    found.append(dict(_values(winreg, child)))
    return found


def _children(winreg: Any, key: Any) -> Iterator[str]:
    for index in range(winreg.QueryInfoKey(key)[0]):
        yield winreg.EnumKey(key, index)


def _values(winreg: Any, key: Any) -> Iterator[tuple[str, str | int]]:
    for index in range(winreg.QueryInfoKey(key)[1]):
        name, value, _ = winreg.EnumValue(key, index)
        if isinstance(value, (str, int)):
            yield name, value
        elif isinstance(value, bytes):  # sizes are stored as numbers by some drivers, as bytes by others
            yield name, int.from_bytes(value[:8], "little")
