"""The model that is to be quantized: passed by the gate, all its headers read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.library.found import files_of, look_at, name_of
from localllm.core.library.inspector import Inspector, refusal
from localllm.core.library.scan import inspect_model
from localllm.errors import QuantizationRefused
from localllm.gguf import read_header
from localllm.gguf.header import unreadable
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.gguf import GgufHeader, TensorInfo
    from localllm.progress import Progress

SAFE = text("Nothing was written.")


@dataclass(frozen=True)
class SourceModel:
    """A model with the headers of all its files; `path` is the first one's."""

    path: Path
    name: str
    headers: tuple[GgufHeader, ...]

    @property
    def header(self) -> GgufHeader:
        """The first file's, which describes the model."""
        return self.headers[0]

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """Those of all files."""
        return tuple(tensor for header in self.headers for tensor in header.tensors)

    @property
    def layers(self) -> int:
        """Number of layers, 0 if the header does not say."""
        count = self.header.of_architecture("block_count")
        return count if isinstance(count, int) else 0


def open_source(path: Path, progress: Progress) -> SourceModel:
    """Read a model that is to be quantized, after the inspector has seen it.

    Raises:
        ModelNotFound: There is no such file.
        BadModelFile: The gate refuses it.
        QuantizationRefused: It is something else than a model.
    """
    found = look_at(path, "folder")
    with Inspector() as inspector:
        verdict = inspect_model(found, inspector, progress)
    if verdict.reason is not None or verdict.facts is None:
        raise refusal(verdict)
    if verdict.facts.kind != "model":
        raise QuantizationRefused(
            text("“{name}” is not a language model: only those can be quantized.", name=path.name),
            safe=SAFE,
        )
    try:
        files = files_of(Path(found.path))
    except OSError as error:
        raise unreadable(path, error) from error
    return SourceModel(files[0], name_of(files[0]), tuple(read_header(file) for file in files))
