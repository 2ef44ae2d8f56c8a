"""From a checkpoint's tensors to those of the file: which are read, what becomes of each, their names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from localllm.core.convert.architectures.entry import Experts, Rule
from localllm.core.convert.changes import Stacked
from localllm.errors import CheckpointRefused
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from localllm.core.convert.architectures.entry import Architecture, Into, Origin
    from localllm.core.convert.tensors import Tensor

MAX_LAYERS = 2000
_OTHER_MODALITIES = re.compile(
    r"(mlp|vit\.|vpm\.|siglip2\.|conformer\.|merger\.|resampler\.|sound_encoder\.|sound_projection\.|speech_embeddings\.)"
    r"|.*(visual\.|vision\.|audio\.|talker\.|vision_|audio_|token2wav\.|code2wav\.|projector\.|pre_mm_projector_norm"
    r"|image_newline|view_seperator|patch_embed|patch_merger\.|patch_merge_mlp\.|model\.connector\.)"
)
_BUFFERS = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")
_LAYER = re.compile(r"blk\.(\d+)\.(.+)")


class Output(NamedTuple):
    """A tensor of the file under its GGUF name."""

    name: str
    tensor: Tensor


def readable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the language model, by the names that rules match."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if _OTHER_MODALITIES.match(name):
            continue
        if name.endswith("e_score_correction_bias"):
            name = name.removesuffix("_bias") + ".bias"  # noqa: PLW2901
        found[name.replace("language_model.", "")] = tensor
    return found


def outputs(architecture: Architecture, origin: Origin) -> list[Output]:
    """Return every tensor of the file, in its order.

    Raises:
        CheckpointRefused: A tensor has no place in the file, or one is missing.
    """
    mapper = Mapper(architecture, origin)
    made: list[Output] = []
    try:
        made += [Output(tensor.name, tensor) for tensor in _extra(architecture, origin)]
        for name, tensor in origin.tensors.items():
            made += mapper.of_one(name, tensor)
    except ValueError as error:
        raise wrong_shapes(error) from error
    mapper.refuse_left_over()
    _refuse_twice(made)
    _refuse_missing(made, architecture, origin.layers)
    return made


def _extra(architecture: Architecture, origin: Origin) -> list[Tensor]:
    return list(architecture.extra_tensors(origin)) if architecture.extra_tensors else []


class Mapper:
    """What becomes of each tensor, by the rules of an architecture; experts are kept until all are met."""

    def __init__(self, architecture: Architecture, origin: Origin) -> None:
        self._architecture = architecture
        self._origin = origin
        self._naming = _Naming.of(architecture, origin.layers)
        self._stacks = _Stacks(origin)

    def of_one(self, name: str, tensor: Tensor) -> Iterator[Output]:
        """Give what a tensor of this name in the checkpoint becomes.

        Raises:
            CheckpointRefused: It has no place in the file.
            ValueError: It does not have the shape that config.json says.
        """
        if name.endswith(_BUFFERS):
            return
        origin = self._origin
        for rule in self._architecture.rules:
            match = re.fullmatch(rule.pattern, name)
            if match is None or (isinstance(rule, Rule) and rule.when and not rule.when(origin)):
                continue
            if isinstance(rule, Experts):
                yield from self._stacks.take(rule, match, tensor)
            else:
                for into in rule.into:
                    changed = into.change(tensor, origin) if into.change else tensor
                    yield Output(self._naming.of_name(_name(into, match, origin)), changed)
            return
        yield Output(self._naming.of_name(name), tensor)

    def refuse_left_over(self) -> None:
        """Refuse if experts are missing.

        Raises:
            CheckpointRefused: Some of a layer's were met, and not all.
        """
        self._stacks.refuse_left_over()


def wrong_shapes(error: ValueError) -> CheckpointRefused:
    """Return the refusal of weights that a rule could not be applied to."""
    return CheckpointRefused(
        text("The weights do not have the shapes that config.json says."), detail=str(error)
    )


def _name(into: Into, match: re.Match[str], origin: Origin) -> str:
    return match.expand(into.name) if isinstance(into.name, str) else into.name(match, origin)


@dataclass(frozen=True, slots=True)
class _Naming:
    """GGUF names by a checkpoint's names, for one architecture and number of layers."""

    known: Mapping[str, str]

    @classmethod
    def of(cls, architecture: Architecture, layers: int) -> _Naming:
        import gguf  # a third of a second, and half of that numpy

        number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture.name)
        mapping = gguf.get_tensor_name_map(number, layers).mapping
        known = {name: found for name, (_, found) in mapping.items()}
        for name, found in architecture.names.items():
            for layer in range(layers) if "{layer}" in name else (0,):
                known[name.replace("{layer}", str(layer))] = found.replace("{layer}", str(layer))
        known |= {found: found for found in known.values()}
        return cls(known)

    def of_name(self, name: str) -> str:
        if name in self.known:
            return self.known[name]
        base, dot, suffix = name.rpartition(".")
        if base in self.known and (
            suffix in ("weight", "bias") or (suffix == "scale" and name.startswith("blk."))
        ):
            return self.known[base] + dot + suffix
        raise CheckpointRefused(
            text("The checkpoint has weights that this architecture does not know: “{name}”.", name=name),
            hint=text(
                "It may be of a newer kind than this version of LocalLLM. Look for a GGUF of it on the Hub."
            ),
        )


@dataclass(slots=True)
class _Stacks:
    """Experts that have been met, until all of a layer are there."""

    origin: Origin
    met: dict[str, dict[tuple[str, int], Tensor]] = field(
        default_factory=dict[str, "dict[tuple[str, int], Tensor]"]
    )

    def take(self, rule: Experts, match: re.Match[str], tensor: Tensor) -> list[Output]:
        layer, part, expert = match["layer"], match["part"], int(match["expert"])
        count = self.origin.config.count(*rule.count)
        if expert >= count:
            raise CheckpointRefused(
                text("There are more experts than config.json says: “{name}”.", name=tensor.name)
            )
        met = self.met.setdefault(layer, {})
        met[part, expert] = tensor
        if len(met) < count * len(rule.parts):
            return []
        del self.met[layer]
        return [
            Output(name.format(layer=layer), _stack([met[part, number] for number in range(count)]))
            for part, name in rule.parts.items()
        ]

    def refuse_left_over(self) -> None:
        for layer, met in self.met.items():
            raise CheckpointRefused(
                text(
                    "Experts of layer {layer} are missing: only {count} of their weights are there.",
                    layer=layer,
                    count=len(met),
                ),
                hint=text("Download it again; if it stays so, tell its publisher."),
            )


def _stack(parts: list[Tensor]) -> Tensor:
    first = parts[0]
    if any(part.shape != first.shape or part.dtype != first.dtype for part in parts):
        message = f"{first.name}: the experts have different shapes or types"
        raise ValueError(message)
    return Stacked(first.name, tuple(parts))


def _refuse_twice(made: list[Output]) -> None:
    seen: dict[str, Tensor] = {}
    for name, tensor in made:
        if name in seen:
            raise CheckpointRefused(
                text(
                    "Two weights would be the same one: “{first}” and “{second}”.",
                    first=seen[name].name,
                    second=tensor.name,
                )
            )
        seen[name] = tensor


def _refuse_missing(made: list[Output], architecture: Architecture, layers: int) -> None:
    there = {output.name for output in made}
    for name in ("token_embd.weight", "output_norm.weight"):
        if name not in there:
            raise _missing(name)
    by_layer: dict[int, set[str]] = {}
    for name in there:
        if match := _LAYER.fullmatch(name):
            by_layer.setdefault(int(match[1]), set()).add(match[2])
    every = set[str]().union(*by_layer.values())
    for layer in range(layers):
        missing = sorted(every - by_layer.get(layer, set())) if architecture.uniform else []
        if missing or layer not in by_layer:
            raise _missing(f"blk.{layer}.{missing[0] if missing else '*'}")


def _missing(name: str) -> CheckpointRefused:
    return CheckpointRefused(
        text("The checkpoint is incomplete: “{name}” cannot be made from it.", name=name),
        hint=text("Download it again; if it stays so, tell its publisher."),
    )
