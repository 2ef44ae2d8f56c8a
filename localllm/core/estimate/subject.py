"""What an estimate is about: a file on this disk, a header from the Hub, or a row of the catalogue."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.fit import Placing
from localllm.core.shape import shape_from_gguf
from localllm.engine.experts import AUTOMATIC, layer_of_experts
from localllm.errors import BadModelFile
from localllm.gguf import check_header, read_header
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.catalogue import CatalogueModel, QuantFile
    from localllm.core.shape import ModelShape
    from localllm.engine.protocol import LoadSettings
    from localllm.gguf import GgufHeader
    from localllm.gguf.header import TensorInfo

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Subject:
    """A model in one quantization.

    Attributes:
        shape: Its dimensions; None where the closed form does not cover it.
        weights: Bytes of its tensors.
        size: Bytes of its file or files.
        layers: As llama.cpp counts them, without the output.
        vocabulary: Number of tokens; 0 = not known.
        of_experts: Bytes of each layer's experts; () without experts, or without a header.
        file: A file with its header, the first of a split model; the data may be a hole. None = no header.
        key: Hash of the header, hexadecimal; "" without one.
    """

    name: str
    quant: str
    shape: ModelShape | None
    weights: int
    size: int
    trained_context: int
    layers: int
    experts: bool
    vocabulary: int
    file: Path | None = None
    key: str = ""
    of_experts: tuple[int, ...] = ()

    def placing(self, settings: LoadSettings) -> Placing | None:
        """Return the place that settings ask for; None leaves it to us."""
        layers, experts = settings.gpu_layers, settings.experts_layers_on_cpu if self.experts else AUTOMATIC
        if layers < 0 and experts < 0:
            return None
        experts = max(0, min(experts, self.layers))
        return Placing(self.layers + 1 if layers < 0 < experts else layers, experts)


def subject_of_file(path: Path, name: str = "") -> Subject:
    """Read a file's header, and those of the other parts of a split model.

    Raises:
        ModelNotFound: There is no such file.
        BadModelFile: It breaks a rule.
    """
    header = read_header(path)
    check_header(header)
    headers = [header, *(read_header(part) for part in _other_parts(path))]
    tensors = tuple(tensor for one in headers for tensor in one.tensors)
    shape = shape_of(header, tensors)
    return Subject(
        name=name or _PART.sub("", path.name).removesuffix(".gguf"),
        quant=header.quant,
        shape=shape,
        weights=sum(one.weight_bytes for one in headers),
        size=sum(one.file_size for one in headers),
        trained_context=_number(header, "context_length"),
        layers=_number(header, "block_count"),
        experts=_number(header, "expert_count") > 0,
        vocabulary=shape.vocabulary if shape else len(header.strings("tokenizer.ggml.tokens")),
        file=path,
        key=_hash(headers),
        of_experts=_of_experts(tensors),
    )


def subject_of_row(model: CatalogueModel, file: QuantFile) -> Subject:
    """Describe a row of the catalogue, of which there is no header here."""
    shape = model.shape
    return Subject(
        name=model.name,
        quant=file.name,
        shape=shape,
        weights=file.weights,
        size=file.size,
        trained_context=shape.trained_context,
        layers=shape.layers,
        experts=bool(shape.experts),
        vocabulary=shape.vocabulary,
    )


def shape_of(header: GgufHeader, tensors: tuple[TensorInfo, ...]) -> ModelShape | None:
    """Return a header's dimensions; None for what the closed form does not cover or cannot make sense of."""
    try:
        return shape_from_gguf(header.metadata, tensors)
    except (ArithmeticError, ValueError, TypeError):
        return None


def _other_parts(path: Path) -> list[Path]:
    split = _PART.search(path.name)
    if not split:
        return []
    stem, count = path.name[: split.start()], int(split[2])
    parts = [path.with_name(f"{stem}-{n:05d}-of-{split[2]}.gguf") for n in range(2, count + 1)]
    if missing := [part for part in parts if not part.is_file()]:
        raise BadModelFile(
            text(
                "“{name}” is missing: this model consists of {count} files.",
                name=missing[0].name,
                count=count,
            ),
            hint=text("Download it again, or put all its files into one folder."),
        )
    return parts


def _of_experts(tensors: tuple[TensorInfo, ...]) -> tuple[int, ...]:
    sizes: dict[int, int] = {}
    for tensor in tensors:
        layer = layer_of_experts(tensor.name)
        if layer is not None:
            sizes[layer] = sizes.get(layer, 0) + tensor.size
    return tuple(sizes.get(layer, 0) for layer in range(max(sizes, default=-1) + 1))


def _number(header: GgufHeader, key: str) -> int:
    value = header.of_architecture(key)
    return value if isinstance(value, int) else 0


def _hash(headers: list[GgufHeader]) -> str:
    digest = hashlib.sha256()
    for header in headers:
        digest.update(header.file_size.to_bytes(8, "little"))
        with header.path.open("rb") as file:
            digest.update(file.read(header.data_offset))
    return digest.hexdigest()
