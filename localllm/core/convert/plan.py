"""What will be written: every tensor with its name, shape, type and size, before a byte is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from localllm.core.convert.architectures import ARCHITECTURES
from localllm.core.convert.architectures.entry import Origin
from localllm.core.convert.casts import OutputType as OutputKind
from localllm.core.convert.casts import encoded_size, type_for
from localllm.core.convert.config import config_of, unusable
from localllm.core.convert.outputs import MAX_LAYERS, outputs, readable
from localllm.core.convert.small_files import as_object, read_object
from localllm.errors import CheckpointRefused
from localllm.gguf.writer import TensorPlace
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Architecture
    from localllm.core.convert.checkpoint import Checkpoint
    from localllm.core.convert.tensors import Tensor

OutputType = Literal["auto", "f16", "bf16", "f32", "q8_0", "tq1_0", "tq2_0"]
OUTPUT_TYPES: tuple[OutputType, ...] = get_args(OutputType)
FILE_TYPES: dict[OutputKind, int] = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "TQ1_0": 36, "TQ2_0": 37}
_KINDS: dict[str, OutputKind] = {kind.lower(): kind for kind in FILE_TYPES}
_MXFP4_FILE = 38
_ALWAYS_F32 = re.compile(
    r"(blk\.\d+\.)?(ffn_gate_inp|ffn_gate_inp_shexp|position_embd|token_types|ssm_conv1d|shortconv\.conv"
    r"|altup_correct_coef|altup_predict_coef|ssm_conv1d_[qkv]|indexer\.proj)\.weight"
)
_NEVER_TERNARY = re.compile(r"(token_embd|per_layer_token_embd|output)\.weight")


@dataclass(frozen=True, slots=True)
class Planned:
    """One tensor of the file."""

    place: TensorPlace
    tensor: Tensor
    fell_back: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A file that can be made, and of what.

    Attributes:
        output_type: "F16", what most weights become.
        file_type: llama.cpp's number for it.
        quantization: How the checkpoint is quantized, "" if it is not.
    """

    architecture: Architecture
    origin: Origin
    tensors: tuple[Planned, ...]
    output_type: OutputKind
    file_type: int
    quantization: str = ""

    @property
    def size(self) -> int:
        """Bytes of all tensors, without the header."""
        return sum(planned.place.size for planned in self.tensors)


def make_plan(checkpoint: Checkpoint, output_type: OutputType = "auto") -> Plan:
    """Decide what is written for a checkpoint.

    Raises:
        CheckpointRefused: It cannot be converted.
    """
    architecture, origin = _origin(checkpoint)
    made = outputs(architecture, origin)
    wanted = _guessed(checkpoint) if output_type == "auto" else _KINDS[output_type]
    planned = tuple(_planned(output.name, output.tensor, wanted) for output in made)
    quantization = _quantization(checkpoint)
    method = str(quantization.get("quant_method", quantization.get("quant_algo", "")))[:60]
    packed = method == "mxfp4" and wanted in ("F32", "F16", "BF16")
    file_type = _MXFP4_FILE if packed else FILE_TYPES[wanted]
    return Plan(architecture, origin, planned, wanted, file_type, method)


def _origin(checkpoint: Checkpoint) -> tuple[Architecture, Origin]:
    raw = config_of(checkpoint.config)
    architecture = ARCHITECTURES.get(raw.architecture)
    if architecture is None:
        raise _unknown(raw.architecture, checkpoint)
    config = raw.over(architecture.defaults.get(raw.model_type))
    tensors = readable(checkpoint.tensors)
    if named := architecture.named:
        tensors = {
            name: tensor for old, tensor in tensors.items() if (name := named(old, config)) is not None
        }
    quantization = _quantization(checkpoint)
    if quantization:
        from localllm.core.convert.dequantize import dequantized

        tensors = dequantized(tensors, quantization)
    layers = config.count("n_layers", "num_hidden_layers", "n_layer", "num_layers")
    if architecture.layers:
        layers = architecture.layers(config, tensors)
    if not 0 < layers <= MAX_LAYERS:
        raise unusable("num_hidden_layers", layers)
    origin = Origin(checkpoint.folder, config, tensors, layers)
    if architecture.objection and (objection := architecture.objection(origin)):
        raise CheckpointRefused(objection, hint=text("Look for a GGUF of this model on the Hub."))
    return architecture, origin


def _quantization(checkpoint: Checkpoint) -> dict[str, Any]:
    said = as_object(config_of(checkpoint.config).get("quantization_config"))
    if said:
        return said
    apart = as_object(read_object(checkpoint.folder, "hf_quant_config.json"))
    return as_object(apart.get("quantization"))


def _unknown(name: str, checkpoint: Checkpoint) -> CheckpointRefused:
    if checkpoint.code:
        return CheckpointRefused(
            text(
                "This repository needs its own program ({file}) for the architecture {name}; "
                "LocalLLM never runs it.",
                file=checkpoint.code[0],
                name=name[:100],
            ),
            hint=_HINT,
        )
    return CheckpointRefused(
        text("The architecture {name} is not supported yet.", name=name[:100]), hint=_HINT
    )


_HINT = text(
    "Look for a GGUF of this model on the Hub; llama.cpp's own converter knows more architectures, "
    "but only use it with repositories you trust."
)


def _guessed(checkpoint: Checkpoint) -> OutputKind:
    for tensor in readable(checkpoint.tensors).values():
        if len(tensor.shape) > 1 and tensor.dtype in ("BF16", "F16"):
            return tensor.dtype
    return "F16"


def _planned(name: str, tensor: Tensor, wanted: OutputKind) -> Planned:
    type_ = _type_of(name, tensor, wanted)
    kind = type_for(tensor.shape, type_) if type_ != "MXFP4" and tensor.shape else type_
    size = encoded_size(tensor.shape, kind)
    return Planned(TensorPlace(name, tensor.shape, kind, size), tensor, kind != type_)


def _type_of(name: str, tensor: Tensor, wanted: OutputKind) -> OutputKind | Literal["MXFP4"]:
    if tensor.dtype == "MXFP4":
        return "MXFP4"
    if len(tensor.shape) <= 1 or name.endswith("_norm.weight"):
        return "F32"
    if _ALWAYS_F32.fullmatch(name) or not name.endswith(".weight"):
        return "F32"
    if wanted in ("TQ1_0", "TQ2_0") and _NEVER_TERNARY.fullmatch(name):
        return "F16"
    return wanted
