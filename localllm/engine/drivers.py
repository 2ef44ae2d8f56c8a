"""Graphics drivers that fail as the engine starts: what is remembered of them, in one JSON file.

One that crashed or hung at two starts in a row is left alone, until something about the drivers of this
computer changes or somebody wants it tried again. Once is not enough: a computer that is busy, or is just
being updated, may fail a driver that is good.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.engine.version import engine_version
from localllm.files import write_atomically
from localllm.paths import expand_home

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_log = logging.getLogger(__name__)

_ENOUGH = 2  # starts in a row
_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "GGML_VK_VISIBLE_DEVICES")
# where the Vulkan loader looks, and where it and the drivers lie
_SYSTEM_FOLDERS = ("/etc/xdg", "/etc", "/usr/local/etc", "/usr/local/share", "/usr/share")
_LIBRARY_FOLDERS = ("/usr/lib64", "/usr/lib", "/usr/local/lib")
_MODULES = ("nvidia", "amdgpu")  # that say their version
_LOADER = "libvulkan.so.1"


class FailedDrivers:
    """What is remembered as an engine starts.

    Args:
        file: JSON; one that is damaged, cannot be read or is of other drivers says nothing.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._faults = self._read()

    @property
    def left_out(self) -> tuple[str, ...]:
        """The engine's parts to start without: "vulkan"."""
        return tuple(part for part, count in self._faults.items() if count >= _ENOUGH)

    def note_start(self, failed: Collection[str], left_out: Collection[str]) -> None:
        """Remember how a start went; a part that worked has failed no more.

        Args:
            failed: In which it crashed or hung.
            left_out: All that it did without in the end.
        """
        self._keep(
            {part: count for part, count in self._faults.items() if part in left_out}
            | {part: self._faults.get(part, 0) + 1 for part in failed}
        )

    def leave_out(self, parts: Collection[str]) -> None:
        """Leave these alone from now on, and no others."""
        self._keep(dict.fromkeys(parts, _ENOUGH))

    def _read(self) -> dict[str, int]:
        try:
            entry = json.loads(self._file.read_text(encoding="utf-8"))
            faults = {str(part): int(count) for part, count in entry["faults"].items()}
            return faults if faults and entry["drivers"] == identify_drivers() else {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _keep(self, faults: dict[str, int]) -> None:
        if faults == self._faults:
            return
        self._faults = faults
        try:
            if faults:
                entry = {"faults": faults, "drivers": identify_drivers()}
                write_atomically(self._file, json.dumps(entry).encode())
            else:
                self._file.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("What graphics drivers cannot do here could not be kept: %s", error)


def identify_drivers() -> str:
    """Return what changes when the engine, the system or a graphics driver is updated."""
    facts = [engine_version(), platform.release(), platform.version()]
    facts += [os.environ.get(name, "") for name in _VARIABLES]
    for path in _windows_files() if sys.platform == "win32" else _driver_files():
        try:
            stat = path.stat()
            facts.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
        except OSError:
            continue
    facts += [_text_of(Path("/sys/module", name, "version")) for name in _MODULES]
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()


def _windows_files() -> Iterator[Path]:
    system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32")
    yield system / "vulkan-1.dll"
    yield system / "DriverStore" / "FileRepository"  # its time is that of the last driver's installation


def _driver_files() -> Iterator[Path]:
    """Yield the drivers' manifests, the libraries that they name, and Vulkan's own."""
    yield from _find_library(_LOADER)
    for manifest in sorted(set(_manifests())):
        yield manifest
        try:
            library = str(json.loads(_text_of(manifest))["ICD"]["library_path"])
        except (ValueError, TypeError, KeyError):
            continue
        yield from [manifest.parent / library] if "/" in library else _find_library(library)


def _manifests() -> Iterator[Path]:
    named = _paths_in("VK_DRIVER_FILES") or _paths_in("VK_ICD_FILENAMES")
    for place in named or [*_manifest_folders(), *_paths_in("VK_ADD_DRIVER_FILES")]:
        yield from place.glob("*.json") if place.is_dir() else [place]


def _manifest_folders() -> Iterator[Path]:
    variables = ("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME", "XDG_DATA_DIRS")
    own = (expand_home("~/.config"), expand_home("~/.local/share"))
    for root in (*itertools.chain(*map(_paths_in, variables)), *own, *map(Path, _SYSTEM_FOLDERS)):
        yield root / "vulkan" / "icd.d"


def _find_library(name: str) -> Iterator[Path]:
    several = Path("/usr/lib").glob("*-linux-gnu*")
    for folder in (*_paths_in("LD_LIBRARY_PATH"), *sorted(several), *map(Path, _LIBRARY_FOLDERS)):
        yield folder / name


def _paths_in(variable: str) -> list[Path]:
    return [Path(place) for place in os.environ.get(variable, "").split(os.pathsep) if place]


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
