"""What a quantization costs: bytes for a given model, and quality.

Bytes are computed tensor by tensor from the model's shape with llama.cpp's mixture rules
(src/llama-quant.cpp: which tensors of which layers get more bits), as written down in
`resources/quants.json`. Quality is the Kullback-Leibler divergence from the unquantized model,
measured on Llama 3 8B and published in llama.cpp's tools/perplexity/README.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from localllm.errors import UsageError
from localllm.gguf.types import TENSOR_TYPES
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from localllm.core.shape import Matrix, ModelShape

ALIGNMENT = 32  # every tensor begins at a multiple of it
_TYPES = {kind.name: kind for kind in TENSOR_TYPES.values()}
# what llama.cpp takes where a row is not a multiple of the block
_FALLBACK = {
    "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
    "IQ2_S": "IQ4_NL", "IQ3_XXS": "IQ4_NL", "IQ3_S": "IQ4_NL", "IQ4_XS": "IQ4_NL",
}  # fmt: skip
_WHICH = ("all", "more", "eighth", "sixteenth", "first2", "gqa4", "experts")


@dataclass(frozen=True)
class Rule:
    """Some tensors of a role get another type than the rest; the first rule that applies counts."""

    which: str
    type_name: str


@dataclass(frozen=True)
class Quant:
    """One llama.cpp file type.

    Attributes:
        type_name: Tensor type of most weights.
        output: Tensor type of the output matrix, and of the embedding where it is the same matrix.
        embedding: Tensor type of an embedding of its own.
        rules: Exceptions by role.
        divergence: Mean Kullback-Leibler divergence from 16-bit weights on Llama 3 8B, nats per token.
        source: Where the divergence was published.
    """

    name: str
    type_name: str
    output: str
    embedding: str
    rules: dict[str, tuple[Rule, ...]]
    divergence: float
    source: str

    def weight_bytes(self, shape: ModelShape) -> int:
        """Return the bytes of all tensors of a model of this shape (no metadata, no vocabulary)."""
        vectors = 4 * shape.embedding_width * (2 * shape.layers + 1)
        return vectors + sum(self._bytes(matrix, shape) for matrix in shape.matrices)

    def _bytes(self, matrix: Matrix, shape: ModelShape) -> int:
        if not matrix.quantized:
            return 4 * matrix.elements
        if matrix.role == "output" or (matrix.role == "embedding" and shape.tied_embeddings):
            return _pack(matrix, "Q8_0" if matrix.width % 256 and "_K" in self.output else self.output, 1)
        if matrix.role == "embedding":
            return _pack(matrix, self.embedding, 1)
        left, total = matrix.layers, 0
        for rule in self.rules.get(
            "expert" if matrix.expert else matrix.role, self.rules.get(matrix.role, ())
        ):
            taken = min(left, _count(rule.which, matrix.layers, shape))
            total += _pack(matrix, rule.type_name, taken)
            left -= taken
        return total + _pack(matrix, self.type_name, left)


def _count(which: str, layers: int, shape: ModelShape) -> int:
    """Return in how many layers a rule applies."""
    match which:
        case "all" | "experts":
            return layers
        case "more":
            eighth, end = layers // 8, 7 * layers // 8
            return sum(i < eighth or i >= end or (i - eighth) % 3 == 2 for i in range(layers))
        case "eighth":
            return layers // 8
        case "sixteenth":
            return layers // 16
        case "first2":
            return 2
        case _:  # "gqa4"
            return layers if shape.heads >= 4 * shape.kv_heads else 0


def _pack(matrix: Matrix, type_name: str, layers: int) -> int:
    kind = _TYPES[type_name]
    if matrix.width % kind.block_weights:
        kind = _TYPES[_FALLBACK.get(type_name, "F16")]
        if matrix.width % kind.block_weights:
            kind = _TYPES["F16"]
    one = matrix.width * matrix.rows // kind.block_weights * kind.block_bytes
    return layers * (-(-one // ALIGNMENT) * ALIGNMENT)


class QuantTable:
    """The file types that are offered and known."""

    def __init__(self, quants: Iterable[Quant]) -> None:
        self._quants = {quant.name: quant for quant in quants}

    @classmethod
    def load(cls, path: Path) -> QuantTable:
        """Read and check `quants.json`.

        Raises:
            UsageError: A row is wrong; the sentence names it.
        """
        rows = cast("list[dict[str, Any]]", json.loads(path.read_bytes())["quants"])
        return cls(_quant(row, path.name) for row in rows)

    def get(self, name: str) -> Quant | None:
        """Return a file type; the makers' variants ("UD-Q4_K_XL") stand for the type they are built on."""
        if name in self._quants:
            return self._quants[name]
        base = name.removeprefix("UD-").replace("_XL", "_M")
        return self._quants.get(base) or self._quants.get(base.removesuffix("_M"))

    @property
    def names(self) -> tuple[str, ...]:
        """Every file type of the table."""
        return tuple(self._quants)


def _quant(row: dict[str, Any], file: str) -> Quant:
    try:
        quant = Quant(
            row["name"], row["type"], row["output"], row.get("embedding", row["type"]), _rules(row),
            float(row["divergence"]), row["source"],
        )  # fmt: skip
        _check(quant)
    except (KeyError, TypeError, ValueError) as error:
        message = text(
            "Row “{row}” of {file} is wrong: {reason}.",
            row=row.get("name", "?"),
            file=file,
            reason=str(error),
        )
        raise UsageError(message) from error
    return quant


def _rules(row: dict[str, Any]) -> dict[str, tuple[Rule, ...]]:
    return {
        role: tuple(Rule(str(which), str(kind)) for which, kind in entries)
        for role, entries in row.get("rules", {}).items()
    }


def _check(quant: Quant) -> None:
    every = [rule for entries in quant.rules.values() for rule in entries]
    types = {quant.type_name, quant.output, quant.embedding, *(rule.type_name for rule in every)}
    if unknown := types - set(_TYPES):
        raise ValueError(", ".join(sorted(unknown)))
    if quant.divergence < 0 or any(rule.which not in _WHICH for rule in every):
        raise ValueError("rules")
