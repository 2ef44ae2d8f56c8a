"""Which engine is installed: what was learned of one does not hold for another."""

from __future__ import annotations

import importlib.metadata
from functools import cache


@cache
def engine_version() -> str:
    """Return the version of llama-cpp-python, "no engine" without one; read once, for that takes 6 ms."""
    try:
        return importlib.metadata.version("llama_cpp_python")
    except importlib.metadata.PackageNotFoundError:
        return "no engine"
