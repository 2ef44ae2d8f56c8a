"""Read quantized checkpoints: which tensors belong to a weight, and what floats they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localllm.core.convert.dequantize.awq import awq
from localllm.core.convert.dequantize.bitsandbytes import bitsandbytes
from localllm.core.convert.dequantize.compressed_tensors import compressed_tensors
from localllm.core.convert.dequantize.fp8 import fbgemm, fp8, modelopt
from localllm.core.convert.dequantize.gptq import gptq
from localllm.core.convert.dequantize.parts import without_unused
from localllm.core.convert.dequantize.refusals import misfit, not_covered
from localllm.errors import CheckpointRefused
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localllm.core.convert.tensors import Tensor

    Reader = Callable[[Mapping[str, Tensor], Mapping[str, Any]], dict[str, Tensor]]


def dequantized(tensors: Mapping[str, Tensor], quantization: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights that a checkpoint stands for, by the names of an unquantized one.

    They are float32 and computed when they are read; MXFP4 stays as it is for `mxfp4.repacked`. Weights that
    keep their name keep their place; those of GPTQ, AWQ and packed ones come last, as in the reference. What
    is read at once are only the shapes of packed weights and the descriptions of NF4 ones.

    Args:
        tensors: All tensors of the checkpoint.
        quantization: `quantization_config` of config.json, or what hf_quant_config.json says.

    Raises:
        CheckpointRefused: The method is not covered, or the tensors of a weight do not fit together. Reading
            a weight raises it too.
    """
    method = _method(quantization)
    if method == "mxfp4":
        return dict(tensors)
    if method == "bitnet":
        raise CheckpointRefused(
            text("The weights are packed as BitNet's; converted, they would no longer be this model."),
            hint=text("Look for the GGUF that the model's publisher offers on the Hub."),
        )
    reader = _READERS.get(method)
    if reader is None:
        raise not_covered(method)
    result = reader(without_unused(tensors), quantization)
    for name, tensor in result.items():
        if tensor.dtype in _QUANTIZED and len(tensor.shape) > 1:
            raise misfit(name, f"{name} is {tensor.dtype}, and nothing says what it stands for")
    return result


def _method(quantization: Mapping[str, Any]) -> str:
    method = quantization.get("quant_method")
    if method is None and (quantization.get("load_in_4bit") or quantization.get("load_in_8bit")):
        return "bitsandbytes"
    if method is None and "quant_algo" in quantization:
        return "modelopt"
    return method.lower() if isinstance(method, str) else str(method)


_QUANTIZED = ("F8_E4M3", "I8", "U8", "I32")
_READERS: dict[str, Reader] = {
    "awq": awq,
    "bitsandbytes": bitsandbytes,
    "compressed-tensors": compressed_tensors,
    "fbgemm_fp8": fbgemm,
    "fp8": fp8,
    "gptq": gptq,
    "modelopt": modelopt,
}
