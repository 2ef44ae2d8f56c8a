"""What must hold in a LoRA adapter so that llama.cpp can lay it over a model without ending its process.

llama.cpp (0c1e570: src/llama-adapter.cpp) compares the first two dimensions and takes the rest on trust: the
number of experts, the ranks of an embedding's pair, the types of weights that its matrix products know.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.errors import AdapterRefused
from localllm.gguf.header import refuse
from localllm.gguf.rules import check_header
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.gguf.header import GgufHeader, TensorInfo

TYPES = ("F32", "F16", "BF16", "Q8_0")
EMBEDDING = "token_embd.weight"
_PASSED_OVER = "_norm.weight"  # llama.cpp reads such tensors of an adapter and does not use them


@dataclass(frozen=True)
class Pair:
    """The two factors of what is added to one weight; of the embedding `a` has a row for each token."""

    a: TensorInfo
    b: TensorInfo

    @property
    def rank(self) -> int:
        """The length that both share."""
        return self.b.shape[0]


def is_adapter(header: GgufHeader) -> bool:
    """Whether a file says that it is an adapter rather than a model."""
    return header.metadata.get("general.type") == "adapter"


def alpha_of(header: GgufHeader) -> float:
    """Return alpha, which is divided by the rank to scale B·A; 0 where the product is taken as it is."""
    alpha = header.metadata.get("adapter.lora.alpha", 0.0)
    return float(alpha) if isinstance(alpha, float) else 0.0


def pairs_of(header: GgufHeader) -> dict[str, Pair]:
    """Return the pairs of an adapter that was checked, by the name of the weight they belong to."""
    tensors = {tensor.name: tensor for tensor in header.tensors}
    names = [name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")]
    return {name: Pair(tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]) for name in names}


def check_adapter(header: GgufHeader) -> None:
    """Refuse a file that is no LoRA adapter, or a broken one.

    Raises:
        AdapterRefused: It is something else than a LoRA adapter.
        BadModelFile: It breaks a rule.
    """
    check_header(header)
    if not is_adapter(header):
        raise AdapterRefused(
            text("“{name}” is not an adapter.", name=header.path.name),
            hint=text("Choose a file that was converted from a LoRA adapter."),
        )
    for reason in (*_broken_keys(header), *_broken_tensors(header)):
        raise refuse(header.path, reason)


def check_match(adapter: GgufHeader, base: GgufHeader) -> None:
    """Refuse an adapter that was made for another model; of a split model the first part is looked at.

    Raises:
        AdapterRefused: With what differs.
    """
    name = adapter.path.name
    if adapter.architecture != base.architecture:
        raise _other_model(
            text(
                "“{name}” was made for a model of the architecture “{wanted}”; this one is “{own}”.",
                name=name,
                wanted=adapter.architecture,
                own=base.architecture,
            )
        )
    weights = {tensor.name: tensor for tensor in base.tensors}
    whole = (base.metadata.get("split.count") or 1) == 1
    for weight, pair in pairs_of(adapter).items():
        if weight not in weights:
            if whole:
                raise _other_model(
                    text(
                        "“{name}” changes “{weight}”, which this model does not have.",
                        name=name,
                        weight=weight,
                    )
                )
        elif (wanted := _shape_of(weight, pair)) != weights[weight].shape:
            raise _other_model(
                text(
                    "“{name}” was made for another model: its “{weight}” is {wanted}, here it is {own}.",
                    name=name,
                    weight=weight,
                    wanted=_written(wanted),
                    own=_written(weights[weight].shape),
                )
            )


def check_layable(adapter: GgufHeader, base: GgufHeader) -> None:
    """Refuse an adapter that matches a model, and that the engine cannot lay over it while it runs.

    Raises:
        AdapterRefused: It changes an embedding that is the output too: llama.cpp multiplies the wrong one of
            the pair there, and ends.
    """
    check_match(adapter, base)
    names = {tensor.name for tensor in base.tensors}
    whole = (base.metadata.get("split.count") or 1) == 1
    if whole and EMBEDDING in pairs_of(adapter) and "output.weight" not in names:
        raise AdapterRefused(
            text(
                "“{name}” changes the embedding, which this model also uses for its output.",
                name=adapter.path.name,
            ),
            safe=text("The model stays as it was."),
            hint=text("The engine cannot do that while it runs: merge the adapter into the model instead."),
        )


def _other_model(message: Text) -> AdapterRefused:
    return AdapterRefused(
        message,
        safe=text("The model stays as it was."),
        hint=text("Choose an adapter that was made from this very model, or leave it out."),
    )


def _shape_of(weight: str, pair: Pair) -> tuple[int, ...]:
    """Return the shape of the weight that a pair belongs to, fastest dimension first."""
    if weight == EMBEDDING:
        return (pair.b.shape[1], pair.a.shape[1])
    return (pair.a.shape[0], *pair.b.shape[1:])


def _written(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _broken_keys(header: GgufHeader) -> Iterator[Text]:
    kind = header.metadata.get("adapter.type")
    if kind != "lora":
        yield text("its adapter type is “{kind}”; only “lora” can be used", kind=str(kind or "")[:40])
    if any(key.startswith("adapter.alora.") for key in (*header.metadata, *header.arrays)):
        yield text("it is an activated LoRA, which begins in the middle of a text; that cannot be done here")
    alpha = header.metadata.get("adapter.lora.alpha")
    if not isinstance(alpha, float) or not math.isfinite(alpha) or not _is_single(alpha):
        yield text("its alpha is {value}, not a number", value=str(alpha)[:40])


def _is_single(value: float) -> bool:
    """Whether a number survives 32 bits; llama.cpp ends its process over one of another type."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0] == value
    except OverflowError:
        return False


def _broken_tensors(header: GgufHeader) -> Iterator[Text]:
    tensors = {tensor.name: tensor for tensor in header.tensors}
    if not any(name.endswith(".lora_a") for name in tensors):
        yield text("it has no weights")
    for name, tensor in tensors.items():
        if name.endswith(_PASSED_OVER):
            continue
        stem, _, side = name.rpartition(".")
        if side not in ("lora_a", "lora_b"):
            yield text("“{name}” belongs to no LoRA adapter", name=name[:100])
        elif f"{stem}.lora_{'b' if side == 'lora_a' else 'a'}" not in tensors:
            yield text("“{name}” has no counterpart", name=name[:100])
        elif tensor.type_name not in TYPES:
            yield text("“{name}” is of the type {kind}", name=name[:100], kind=tensor.type_name)
        elif side == "lora_a":
            yield from _broken_pair(stem, Pair(tensor, tensors[f"{stem}.lora_b"]))


def _broken_pair(weight: str, pair: Pair) -> Iterator[Text]:
    a, b = pair.a.shape, pair.b.shape
    dimensions = 3 if "_exps." in weight else 2
    fit = len(a) == len(b) == dimensions and a[2:] == b[2:]
    if not fit or (a[0] if weight == EMBEDDING else a[1]) != pair.rank:
        yield text(
            "the factors for “{name}” have the shapes {one} and {other}",
            name=weight[:100],
            one=_written(a),
            other=_written(b),
        )
