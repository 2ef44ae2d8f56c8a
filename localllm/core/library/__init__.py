"""The models on this disk: found wherever they are, inspected, hashed, noted upon; never changed unasked."""

from localllm.core.library.inspector import Inspector
from localllm.core.library.library import Library, describe, inspect, starter_path
from localllm.core.library.model import FileFacts, Inspection, LibraryModel, LoadProfile, Provenance

__all__ = [
    "FileFacts",
    "Inspection",
    "Inspector",
    "Library",
    "LibraryModel",
    "LoadProfile",
    "Provenance",
    "describe",
    "inspect",
    "starter_path",
]
