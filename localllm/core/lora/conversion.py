"""From a PEFT folder to a GGUF adapter, with the rules of the architecture that its model has.

Equal to llama.cpp's convert_lora_to_gguf (0c1e570), but for rsLoRA, which that one scales wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal, get_args

from localllm.core.convert.architectures import ARCHITECTURES
from localllm.core.convert.architectures.entry import Origin
from localllm.core.convert.casts import encoded_size, type_for
from localllm.core.convert.changes import Stacked, calculated, picked_columns, picked_rows, transposed
from localllm.core.convert.config import config_of, unusable
from localllm.core.convert.conversion import Ready
from localllm.core.convert.metadata import add_metadata, add_sampling
from localllm.core.convert.naming import ParameterCounts
from localllm.core.convert.outputs import MAX_LAYERS, Mapper, readable, wrong_shapes
from localllm.core.convert.plan import Plan, Planned
from localllm.core.convert.small_files import read_object
from localllm.core.convert.tensors import Computed, as_float32
from localllm.core.lora.selection import Probe, selections
from localllm.errors import CheckpointRefused
from localllm.gguf.adapters import EMBEDDING
from localllm.gguf.keys import Keys
from localllm.gguf.writer import TensorPlace, header_bytes
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from localllm.core.convert.architectures.entry import Architecture
    from localllm.core.convert.casts import OutputType as OutputKind
    from localllm.core.convert.tensors import Tensor
    from localllm.core.lora.folder import AdapterFolder, Factors
    from localllm.core.lora.selection import Selection

AdapterType = Literal["f32", "f16", "bf16", "q8_0"]
ADAPTER_TYPES: tuple[AdapterType, ...] = get_args(AdapterType)
_KINDS: dict[AdapterType, OutputKind] = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
_QUANTIZATION_VERSION = 2


@dataclass(frozen=True, slots=True)
class _Made:
    """A tensor of the file; `side` is "a" or "b", or "" for a norm."""

    name: str
    tensor: Tensor
    side: str = ""


def make_ready(adapter: AdapterFolder, base: Path, output_type: AdapterType = "f32") -> Ready:
    """Make everything but the weights.

    Args:
        adapter: The PEFT folder.
        base: A folder with the config.json of the model it was made for; its weights are not needed.
        output_type: What the weights become.

    Raises:
        CheckpointRefused: It cannot be converted.
    """
    architecture, origin = _origin(adapter, base)
    try:
        made = list(_tensors(adapter, architecture, origin))
    except ValueError as error:
        raise wrong_shapes(error) from error
    planned = tuple(_planned(one, _KINDS[output_type]) for one in made)
    keys = Keys()
    keys.set("general.architecture", "string", architecture.name)
    keys.set("general.type", "string", "adapter")
    keys.set("adapter.type", "string", "lora")
    add_sampling(keys, adapter.folder)
    notes = add_metadata(keys, adapter.folder, _counts(made))
    keys.set("adapter.lora.alpha", "f32", adapter.alpha)
    keys.set("general.quantization_version", "u32", _QUANTIZATION_VERSION)
    plan = Plan(architecture, origin, planned, _KINDS[output_type], file_type=0)
    header = header_bytes(keys, [one.place for one in planned])
    return Ready(plan, header, (*adapter.notes, *notes))


def _origin(adapter: AdapterFolder, base: Path) -> tuple[Architecture, Origin]:
    raw = read_object(base, "config.json")
    if raw is None:
        raise CheckpointRefused(
            text(
                "“{folder}” holds no config.json of the model that the adapter was made for.",
                folder=str(base),
            ),
            hint=text("Name the folder or the repository of that model with --base."),
        )
    plain = config_of(raw)
    architecture = ARCHITECTURES.get(plain.architecture)
    if architecture is None:
        raise CheckpointRefused(
            text("The architecture {name} is not supported yet.", name=plain.architecture[:100]),
            hint=text("Look for a GGUF of this adapter on the Hub."),
        )
    config = plain.over(architecture.defaults.get(plain.model_type))
    layers = config.count("n_layers", "num_hidden_layers", "n_layer", "num_layers")
    if not 0 < layers <= MAX_LAYERS:
        raise unusable("num_hidden_layers", layers)
    return architecture, Origin(base, config, {}, layers)


def _tensors(adapter: AdapterFolder, architecture: Architecture, origin: Origin) -> Iterator[_Made]:
    mapper = Mapper(architecture, origin)
    for old, name in _read(adapter.norms, architecture, origin):
        for output in mapper.of_one(name, adapter.norms[old]):
            yield _Made(output.name, output.tensor)
    weights = {name: adapter.weights[old] for old, name in _read(adapter.weights, architecture, origin)}
    for name, factors in weights.items():
        found = False
        for target, sources, how in selections(mapper, name, factors.shape):
            found = True
            yield from _pair(target, [weights[source] for source in sources], how)
        if not found and name.startswith("lm_head."):
            raise CheckpointRefused(
                text("This adapter changes “{name}”, which the model's GGUF does not have.", name=name),
                hint=text("Merge it into its model with PEFT, then convert the whole."),
            )
    mapper.refuse_left_over()


def _read(names: Iterable[str], architecture: Architecture, origin: Origin) -> Iterator[tuple[str, str]]:
    """Give the names of what is read, each with the name that rules match."""
    for old, stand_in in readable({name: Probe(name, ()) for name in names}).items():
        name = architecture.named(old, origin.config) if architecture.named else old
        if name is not None:
            yield stand_in.name, name


def _pair(target: str, factors: list[Factors], how: list[Selection]) -> Iterator[_Made]:
    halves = [_halves(one, selection) for one, selection in zip(factors, how, strict=True)]
    if len(halves) == 1:
        a, b = halves[0]
    else:
        a, b = (_stack(target, [half[side] for half in halves]) for side in (0, 1))
    yield _Made(f"{target}.lora_a", transposed(a) if target == EMBEDDING else a, "a")
    yield _Made(f"{target}.lora_b", b, "b")


def _halves(factors: Factors, selection: Selection) -> tuple[Tensor, Tensor]:
    """Return A and B of one weight of the file; an embedding's rows are the columns of its A."""
    a: Tensor = factors.a
    b: Tensor = factors.b
    rows, columns = selection.rows, selection.columns
    if factors.embedding:
        rows, columns = columns, rows
    if columns is not None:
        a = picked_columns(a, columns)
    if rows is not None:
        b = picked_rows(b, rows)
    if a.dtype != b.dtype:
        a, b = _as_float32(a), _as_float32(b)
    if factors.gain != 1.0:
        gain = factors.gain
        b = calculated(_as_float32(b), lambda values: values * values.dtype.type(gain))
    return a, b


def _as_float32(tensor: Tensor) -> Tensor:
    if tensor.dtype == "F32":
        return tensor
    return Computed(
        tensor.name,
        tensor.shape,
        "F32",
        lambda first, last: as_float32(tensor.read(first, last), tensor.dtype),
        sources=(tensor,),
    )


def _stack(target: str, parts: list[Tensor]) -> Tensor:
    if any(part.shape != parts[0].shape or part.dtype != parts[0].dtype for part in parts):
        raise CheckpointRefused(
            text("The experts of “{name}” are changed by factors of different ranks or types.", name=target),
            hint=text("Merge it into its model with PEFT, then convert the whole."),
        )
    return Stacked(target, tuple(parts))


def _planned(made: _Made, wanted: OutputKind) -> Planned:
    kind: OutputKind = type_for(made.tensor.shape, wanted) if made.side else "F32"
    size = encoded_size(made.tensor.shape, kind)
    return Planned(TensorPlace(made.name, made.tensor.shape, kind, size), made.tensor, kind != wanted)


def _counts(made: list[_Made]) -> ParameterCounts:
    """Count the weights that are changed; less than none says that it is an adapter."""
    total, a = 0, (0,)
    for one in made:
        if one.side == "a":
            a = one.tensor.shape
        else:
            total += prod((*one.tensor.shape[:-1], a[-1])) if one.side else prod(one.tensor.shape)
    return ParameterCounts(-total)
