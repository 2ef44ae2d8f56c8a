"""The tensors of a model, for a table and for a chart of the types in each layer."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.library.found import find_one
from localllm.gguf import check_header, read_header
from localllm.gguf.header import unreadable

if TYPE_CHECKING:
    from localllm.gguf import GgufHeader

_LAYER = re.compile(r"(?:^|\.)blk\.(\d{1,4})\.")


@dataclass(frozen=True)
class Tensor:
    """One tensor: `shape` fastest first as ggml has it, `size` in bytes, `layer` None outside layers."""

    name: str
    type_name: str
    shape: tuple[int, ...]
    size: int
    layer: int | None

    @property
    def weights(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight."""
        return self.size * 8 / self.weights if self.weights else 0.0


@dataclass
class LayerTypes:
    """Bytes of each tensor type in one layer; `layer` None for what stands outside the layers."""

    layer: int | None
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    weights: int = 0

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight of the whole layer."""
        return sum(self.sizes.values()) * 8 / self.weights if self.weights else 0.0


def list_tensors(path: Path) -> list[Tensor]:
    """Read the tensors of a model, of all parts if it is split, in the order of the files.

    Raises:
        ModelNotFound: A file is gone.
        BadModelFile: It is not a usable model.
    """
    return [
        Tensor(tensor.name, tensor.type_name, tensor.shape, tensor.size, _layer_of(tensor.name))
        for header in _headers(path)
        for tensor in header.tensors
    ]


def types_by_layer(tensors: list[Tensor]) -> list[LayerTypes]:
    """Return the types in each layer, what stands outside the layers last."""
    layers: dict[int | None, LayerTypes] = {}
    for tensor in tensors:
        layer = layers.setdefault(tensor.layer, LayerTypes(tensor.layer))
        layer.sizes[tensor.type_name] = layer.sizes.get(tensor.type_name, 0) + tensor.size
        layer.weights += tensor.weights
    return sorted(layers.values(), key=lambda one: math.inf if one.layer is None else one.layer)


def read_template(path: Path) -> str:
    """Read the chat template of a model, "" if it has none.

    Raises:
        ModelNotFound: The file is gone.
        BadModelFile: It is not a usable model.
    """
    header = read_header(path)
    check_header(header)
    template = header.metadata.get("tokenizer.chat_template")
    return template if isinstance(template, str) else ""


def _headers(path: Path) -> list[GgufHeader]:
    try:
        files = [Path(part.path) for part in find_one(path, "folder").parts]
    except OSError as error:
        raise unreadable(path, error) from error
    headers = [read_header(file) for file in files]
    for header in headers:
        check_header(header)
    return headers


def _layer_of(name: str) -> int | None:
    found = _LAYER.search(name)
    return int(found[1]) if found else None
