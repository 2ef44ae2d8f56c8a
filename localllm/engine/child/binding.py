"""llama-cpp-python's table of llama.cpp's functions, without the rest of that package.

The package itself brings numpy, Jinja and an interface that nothing here uses: a third of a second of every
engine's start, and 17 MB.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any


def _load() -> Any:
    """Import the table below a package whose own code has not run."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is not None and "llama_cpp" not in sys.modules:
        package = ModuleType("llama_cpp")
        package.__path__ = list(spec.submodule_search_locations or ())
        package.__spec__ = spec
        sys.modules["llama_cpp"] = package
    import llama_cpp.llama_cpp as table

    return table


llama: Any = _load()  # untyped: the binding's annotations do not describe its ctypes arguments
