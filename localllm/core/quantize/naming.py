"""What a quantized model is called, and its place in the library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localllm.core.library.model import Provenance
from localllm.core.quantize.types import TYPES
from localllm.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.library.library import Library
    from localllm.core.library.model import LibraryModel
    from localllm.core.quantize.job import Quantized
    from localllm.core.quantize.plan import QuantizePlan
    from localllm.core.quantize.source import SourceModel
    from localllm.core.quantize.types import QuantType
    from localllm.progress import Progress

_TYPE_NAMES = "|".join(sorted((*TYPES, "FP16", "FP32"), key=len, reverse=True))
_ENDING = re.compile(rf"[-._](?:UD-)?(?:{_TYPE_NAMES})(?:_XL)?$", re.IGNORECASE)


def result_name(source: SourceModel, kind: QuantType, pruned: int = 0) -> str:
    """Return the file's name: the source's with this type in place of its own."""
    stem = _ENDING.sub("", source.name)
    if pruned:
        stem += f"-minus{pruned}"
    ending = source.header.quant if kind.copies else kind.name
    return f"{stem}-{ending}.gguf"


def free_name(folder: Path, name: str) -> Path:
    """Return the path of this name in a folder, numbered if there is a file of that name."""
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{name.removesuffix('.gguf')}-{number}.gguf"
    return path


def register(library: Library, plan: QuantizePlan, result: Quantized, progress: Progress) -> LibraryModel:
    """Put a finished model on the list, with the repository that its source came from."""
    origin = _origin(library, plan.source.path)
    if origin is None or not origin.repo:
        return library.add(result.path, progress)
    return library.record_download(result.path, Provenance(origin.repo, origin.commit), {}, progress)


def _origin(library: Library, source: Path) -> Provenance | None:
    try:
        return library.index.provenance(str(source))
    except StoreError:
        return None
