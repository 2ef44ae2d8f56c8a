"""The engine's computing parts, where the build has them as libraries of their own ("dynamic backends").

Such a build runs on every processor of its kind: of the CPU's libraries, one for each generation, the best
that this one can run is taken, and a graphics processor's is used where a driver answers it. Other builds
have their parts registered from the beginning, and nothing is done.
"""

from __future__ import annotations

import _ctypes
import ctypes
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localllm.engine.backends import announce, announce_end

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

_NAME = re.compile(r"(?:lib)?ggml-(?!base\b)([\w.-]+)\.(?:so|dll)")


@dataclass(frozen=True)
class Backends:
    """The parts that were loaded ("vulkan", "cpu-haswell"), and those that are here but do not work here."""

    parts: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def load_backends(folder: Path, find: Callable[..., Any], without: Collection[str] = ()) -> Backends:
    """Load what this computer can use of the libraries in a folder.

    Args:
        folder: Where llama.cpp's libraries lie.
        find: Returns a function of ggml: name, type of its result, types of its arguments.
        without: Parts that are left alone, because they crash.
    """
    if find("ggml_backend_reg_count", ctypes.c_size_t)():
        return Backends()
    found = {match[1]: path for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))}
    load = find("ggml_backend_load", ctypes.c_void_p, ctypes.c_char_p)
    count = find("ggml_backend_reg_dev_count", ctypes.c_size_t, ctypes.c_void_p)
    parts: list[str] = []
    unused: list[str] = []
    for name in [name for name in found if not name.startswith("cpu")]:
        registry = None
        if name not in without:
            announce(name)
            registry = load(str(found[name]).encode())
        (parts if registry and count(registry) else unused).append(name)
    announce_end()
    best = next((name for name in _processor_parts(found) if load(str(found[name]).encode())), None)
    if best:
        parts.append(best)
    return Backends(tuple(parts), tuple(unused))


def _processor_parts(found: Mapping[str, Path]) -> list[str]:
    """Return the parts that run on this processor, the best first."""
    scores = {name: _score(path) for name, path in found.items() if name.startswith("cpu-")}
    usable = sorted((name for name in scores if scores[name]), key=scores.__getitem__, reverse=True)
    return usable + [name for name in found if name == "cpu"]


def _score(path: Path) -> int:
    """Return how well a library suits this processor; 0 = it cannot run it."""
    try:
        library = ctypes.CDLL(str(path))
        score: int = library.ggml_backend_score()
        close: Any = _ctypes.FreeLibrary if sys.platform == "win32" else _ctypes.dlclose
        close(library._handle)  # noqa: SLF001 - ctypes has no other way to let a library go
    except (OSError, AttributeError):
        return 0
    return score
