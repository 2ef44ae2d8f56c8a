"""The tensors that stand for one quantized weight, checked before anything relies on them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from localllm.core.convert.dequantize.refusals import misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from localllm.core.convert.tensors import Tensor
    from localllm.errors import CheckpointRefused

FLOATS = ("F32", "F16", "BF16")
_UNUSED = (
    "_scale_ub", ".activation_scale", "_activation_scale", ".input_scale", ".output_scale",
    ".input_zero_point", ".output_zero_point", ".q_scale", ".k_scale", ".v_scale", ".k_zero_point",
    ".v_zero_point",
)  # fmt: skip
Made = TypeVar("Made")


def without_unused(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what quantizes activations and the KV cache: a GGUF file has no place for it."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(_UNUSED)}


@dataclass(frozen=True, slots=True)
class Parts:
    """The tensors of one weight: their names are that of the weight, or of its module, and a suffix."""

    tensors: Mapping[str, Tensor]
    stem: str

    def part(self, suffix: str, *dtypes: str) -> Tensor:
        """Return a part.

        Raises:
            CheckpointRefused: There is none, or it is of another type.
        """
        tensor = self.optional(suffix, *dtypes)
        if tensor is None:
            raise self.misfit(f"{self.stem}{suffix} is missing")
        return tensor

    def optional(self, suffix: str, *dtypes: str) -> Tensor | None:
        """Return a part, None if there is none.

        Raises:
            CheckpointRefused: It is of another type.
        """
        tensor = self.tensors.get(self.stem + suffix)
        if tensor is not None and tensor.dtype not in dtypes:
            raise self.misfit(f"{tensor.name} is {tensor.dtype}, not {' or '.join(dtypes)}")
        return tensor

    def check(self, tensor: Tensor | None, *shapes: Sequence[int]) -> None:
        """Refuse a part that is there and has none of these shapes."""
        if tensor is not None and tensor.shape not in [tuple(shape) for shape in shapes]:
            raise self.misfit(f"{tensor.name} is {tensor.shape}, not {' or '.join(map(str, shapes))}")

    def misfit(self, detail: str) -> CheckpointRefused:
        """Make the error that names this weight."""
        return misfit(self.stem.rstrip("."), detail)


class Latest(Generic[Made]):
    """Keeps what was made last: the packed form of a matrix that is read by rows, one matrix at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[str, Made] | None = None

    def get(self, name: str, make: Callable[[], Made]) -> Made:
        """Return what `make` gives, or gave if it was asked for this name before and for none since."""
        with self._lock:
            if self._kept is None or self._kept[0] != name:
                self._kept = None  # before the next matrix is read, so that there are never two
                self._kept = name, make()
            return self._kept[1]
