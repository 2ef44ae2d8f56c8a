"""Every file type that llama.cpp's quantizer writes, and the types that single tensors may have.

llama.cpp 0c1e570: include/llama.h, tools/quantize/quantize.cpp. The bits are those of a model whose rows
divide by 256, measured with dry runs; what a certain model gets, only its own plan says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from localllm.errors import UsageError
from localllm.gguf.types import TENSOR_TYPES, TensorType
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Sequence

ImatrixRule = Literal["needed", "helps", "unused"]

PLAIN_TYPES = frozenset({"F32", "F16", "BF16"})
TENSOR_NUMBERS = {
    kind.name: number
    for number, kind in TENSOR_TYPES.items()
    if kind.name not in ("I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K", "NVFP4")
}
NEED_IMATRIX = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"})


@dataclass(frozen=True)
class QuantType:
    """One file type.

    Attributes:
        number: llama.cpp's.
        bits: Bits per weight of a usual model.
        imatrix: Whether an importance matrix is needed, makes it better, or is not looked at.
        copies: Tensors stay as they are.
    """

    name: str
    number: int
    bits: float
    imatrix: ImatrixRule
    description: Text = field(hash=False)
    copies: bool = False


_NEARLY = text("Nearly as good as the original.")
_GOOD = text("A little is lost; the usual choice when there is room.")
_USUAL = text("The usual choice: small, and little is lost.")
_SMALL = text("Smaller than the usual choice; the loss can be noticed.")
_VERY_SMALL = text("For large models that would not fit otherwise; much is lost.")
_TINY = text("The last resort for very large models: most is lost.")
_OLD = text("An older format, for engines that know no other.")
_TERNARY = text("Only for models that were trained with three values per weight, as BitNet was.")

_TYPES = (
    QuantType("F32", 0, 32.0, "unused", text("32 bits, everything is kept; for further work only.")),
    QuantType("BF16", 32, 16.0, "unused", text("16 bits with a wide range, as most models are published.")),
    QuantType("F16", 1, 16.0, "unused", text("16 bits; very large values do not fit.")),
    QuantType("Q8_0", 7, 8.5, "unused", _NEARLY),
    QuantType("Q6_K", 18, 6.6, "helps", _NEARLY),
    QuantType("Q5_K_M", 17, 5.7, "helps", _GOOD),
    QuantType("Q5_K_S", 16, 5.55, "helps", _GOOD),
    QuantType("Q5_1", 9, 6.0, "helps", _OLD),
    QuantType("Q5_0", 8, 5.5, "helps", _OLD),
    QuantType("Q4_K_M", 15, 4.87, "helps", _USUAL),
    QuantType("Q4_K_S", 14, 4.64, "helps", _USUAL),
    QuantType("IQ4_NL", 25, 4.59, "helps", _USUAL),
    QuantType("IQ4_XS", 30, 4.36, "helps", _USUAL),
    QuantType("Q4_1", 3, 5.1, "helps", _OLD),
    QuantType("Q4_0", 2, 4.6, "helps", text("An older format that ARM processors compute fast with.")),
    QuantType("MXFP4_MOE", 38, 4.3, "unused", text("Experts in 4 bits as gpt-oss has them, the rest in 8.")),
    QuantType("Q3_K_L", 13, 4.3, "helps", _SMALL),
    QuantType("Q3_K_M", 12, 4.0, "helps", _SMALL),
    QuantType("IQ3_M", 27, 3.76, "helps", _SMALL),
    QuantType("IQ3_S", 26, 3.53, "helps", _SMALL),
    QuantType("Q3_K_S", 11, 3.5, "helps", _SMALL),
    QuantType("IQ3_XS", 22, 3.36, "needed", _SMALL),
    QuantType("IQ3_XXS", 23, 3.23, "needed", _VERY_SMALL),
    QuantType("Q2_K", 10, 3.05, "helps", _VERY_SMALL),
    QuantType("IQ2_M", 29, 2.86, "needed", _VERY_SMALL),
    QuantType("Q2_K_S", 21, 2.79, "needed", _VERY_SMALL),
    QuantType("IQ2_S", 28, 2.68, "needed", _VERY_SMALL),
    QuantType("IQ2_XS", 20, 2.46, "needed", _VERY_SMALL),
    QuantType("Q2_0", 41, 2.4, "unused", _TERNARY),
    QuantType("IQ2_XXS", 19, 2.25, "needed", _TINY),
    QuantType("TQ2_0", 37, 2.25, "unused", _TERNARY),
    QuantType("IQ1_M", 31, 2.02, "needed", _TINY),
    QuantType("TQ1_0", 36, 1.9, "unused", _TERNARY),
    QuantType("IQ1_S", 24, 1.88, "needed", _TINY),
    QuantType("Q1_0", 40, 1.3, "unused", text("Only for models that were trained with one bit per weight.")),
    QuantType("COPY", 0, 0.0, "unused", text("Every tensor as it is: to join or to prune."), copies=True),
)
TYPES = {kind.name: kind for kind in _TYPES}
_OTHER_NAMES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "MXFP4": "MXFP4_MOE"}


def find_type(name: str) -> QuantType:
    """Return a file type by its name, in any case.

    Raises:
        UsageError: There is none of that name.
    """
    wanted = name.strip().upper()
    kind = TYPES.get(_OTHER_NAMES.get(wanted, wanted))
    if kind is None:
        raise _unknown(name, tuple(TYPES))
    return kind


def find_tensor_type(name: str) -> str:
    """Return the name of a tensor type as this program writes it.

    Raises:
        UsageError: There is none of that name, or nothing can be quantized to it.
    """
    wanted = name.strip().upper()
    if wanted not in TENSOR_NUMBERS:
        raise _unknown(name, tuple(TENSOR_NUMBERS))
    return wanted


def parse_tensor_type(words: str) -> tuple[str, str]:
    """Read "attn_v=q8_0" as a pattern and the name of a tensor type.

    Raises:
        UsageError: It is none, the pattern cannot be one, or there is no such type.
    """
    pattern, _, kind = words.rpartition("=")
    try:
        re.compile(pattern)
    except re.error:
        pattern = ""
    if not pattern:
        raise UsageError(
            text("“{words}” does not say which tensors get which type.", words=words[:80]),
            hint=text("Write it like attn_v=q8_0."),
        )
    return pattern.strip(), find_tensor_type(kind)


def packing(type_name: str) -> TensorType:
    """Return how a tensor type packs its weights."""
    return _PACKING[type_name]


_PACKING = {kind.name: kind for kind in TENSOR_TYPES.values()}


def _unknown(name: str, names: Sequence[str]) -> UsageError:
    return UsageError(
        text("There is no quantization of the name “{name}”.", name=name.strip()[:40]),
        hint=text("Choose one of: {names}.", names=", ".join(names)),
    )
