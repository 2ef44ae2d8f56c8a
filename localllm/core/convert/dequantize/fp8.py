"""FP8 (E4M3) weights: DeepSeek's and Qwen's blocks, Mistral's one scale for all, fbgemm's and ModelOpt's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from localllm.core.convert.dequantize.parts import FLOATS, Parts
from localllm.core.convert.dequantize.refusals import misfit, not_covered
from localllm.core.convert.dequantize.scaled import Block, scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.core.convert.tensors import Tensor


def fp8(tensors: Mapping[str, Tensor], quantization: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return w · weight_scale_inv, in blocks if the configuration gives their size.

    Raises:
        CheckpointRefused: The tensors of a weight do not fit together.
    """
    return _with_scales(tensors, "_scale_inv", as_block(quantization.get("weight_block_size")))


def fbgemm(tensors: Mapping[str, Tensor], _quantization: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return w · weight_scale, one scale for each row.

    Raises:
        CheckpointRefused: The tensors of a weight do not fit together.
    """
    return _with_scales(tensors, ".weight_scale")


def modelopt(tensors: Mapping[str, Tensor], quantization: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return w · weight_scale for ModelOpt's FP8, one scale for each weight.

    Raises:
        CheckpointRefused: It is another of ModelOpt's types; or the tensors of a weight do not fit together.
    """
    algorithm = quantization.get("quant_algo")
    if algorithm != "FP8":
        raise not_covered(f"ModelOpt ({algorithm})")
    return _with_scales(tensors, ".weight_scale")


def as_block(value: object) -> Block | None:
    """Return rows and columns of a block as a configuration gives them, None if it gives none.

    Raises:
        CheckpointRefused: It gives something else.
    """
    if value is None:
        return None
    sizes = cast("list[object]", value) if isinstance(value, list) else []
    match sizes:
        case [int(rows), int(columns)] if rows > 0 and columns > 0:
            return rows, columns
        case _:
            raise misfit("quantization_config", f"a block of {value!r}"[:200])


def _with_scales(tensors: Mapping[str, Tensor], ending: str, block: Block | None = None) -> dict[str, Tensor]:
    result = {name: tensor for name, tensor in tensors.items() if not name.endswith(ending)}
    suffix = ending[ending.index("_scale") :]
    for name in tensors:
        if name.endswith(ending):
            parts = Parts(tensors, name.removesuffix(suffix))
            weight, scale = parts.part("", "F8_E4M3"), parts.part(suffix, *FLOATS)
            result[parts.stem] = scaled(parts, weight, scale, [block] if block else [])
    return result
