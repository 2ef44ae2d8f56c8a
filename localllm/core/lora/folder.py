"""A LoRA adapter as PEFT writes it: adapter_config.json and adapter_model.safetensors, read as data.

Source: PEFT 0.19 (LoraConfig, LoraLayer.scaling, save_and_load.py).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localllm.core.convert.config import unusable
from localllm.core.convert.safetensors import Shard, read_shard
from localllm.core.convert.small_files import as_object, as_text, read_object
from localllm.errors import CheckpointRefused
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localllm.core.convert.safetensors import Stored

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
_PREFIX = "base_model.model."
_SIDES = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_embedding_A": "a",
    ".lora_embedding_B": "b",
}
_PASSED_OVER = ".base_layer.weight"
_NORM = re.compile(r"_layernorm|\.norm")
_PLAIN = re.compile(r"[\w.\-]+")
_CHANGED_BASES = ("pissa", "corda", "olora", "loftq", "lora_ga")


@dataclass(frozen=True, slots=True)
class Factors:
    """What an adapter adds to one weight is B·A: `a` is rank × in, `b` out × rank, as they are stored.

    Attributes:
        gain: What B is to be multiplied with, so that alpha over the rank scales it rightly.
        embedding: Whether the weight is an embedding's, which PEFT stores the other way round.
    """

    a: Stored
    b: Stored
    gain: float = 1.0
    embedding: bool = False

    @property
    def rank(self) -> int:
        """The length that both share."""
        return self.b.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weight: rows, columns."""
        rows, columns = self.b.shape[0], self.a.shape[1]
        return (columns, rows) if self.embedding else (rows, columns)


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """An adapter that was found sound, of which no weight has been read.

    Attributes:
        weights: By the name of the weight in the model's checkpoint, in the order of the file.
        norms: Norms that came with it, whole; the engine does not use them.
        alpha: For the key; see `Factors.gain`.
        base: The model that it says it was made for: a folder, or a repository of the Hub.
        notes: What a person should know.
    """

    folder: Path
    alpha: float
    base: str
    weights: Mapping[str, Factors]
    norms: Mapping[str, Stored] = field(default_factory=dict[str, "Stored"])
    notes: tuple[Text, ...] = ()


def is_adapter_folder(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter rather than a checkpoint."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def open_adapter(folder: Path) -> AdapterFolder:
    """Look an adapter over.

    Raises:
        CheckpointRefused: It is none, is damaged, or is of a kind that a GGUF adapter cannot hold.
    """
    config = read_object(folder, CONFIG)
    if config is None:
        raise CheckpointRefused(
            text("There is no {name}, so this is no LoRA adapter.", name=CONFIG),
            hint=text("Choose the folder that PEFT has written."),
        )
    _refuse_kinds(config)
    pairs, norms = _sorted_out(_stored(folder))
    scaling = _Scaling.of(config)
    weights = {name: scaling.applied(name, a, b) for name, (a, b) in pairs.items()}
    base = as_text(config.get("base_model_name_or_path")) or ""
    return AdapterFolder(folder, scaling.written, base, weights, norms, tuple(scaling.notes))


def _refuse_kinds(config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise _cannot(text("it is of the kind {kind}, not LORA", kind=str(kind)[:60]))
    for name, reason in (
        ("use_dora", text("it was trained with DoRA, which changes the weights' lengths as well")),
        ("modules_to_save", text("it replaces whole layers (modules_to_save)")),
        ("trainable_token_indices", text("it has tokens of its own (trainable_token_indices)")),
        ("target_parameters", text("it changes stacked weights (target_parameters)")),
        ("layer_replication", text("it repeats layers of the model (layer_replication)")),
        ("fan_in_fan_out", text("it is for weights that are stored transposed (fan_in_fan_out)")),
        ("lora_bias", text("it has biases (lora_bias)")),
        ("use_qalora", text("it is a QA-LoRA, which averages what goes in")),
        ("alora_invocation_tokens", text("it is an activated LoRA, which begins in the middle of a text")),
        ("invocation_string", text("it is an activated LoRA, which begins in the middle of a text")),
    ):
        if config.get(name):
            raise _cannot(reason)
    if config.get("bias", "none") not in (None, "none"):
        raise _cannot(text("it has biases ({which})", which=str(config["bias"])[:40]))
    begun = config.get("init_lora_weights")
    if isinstance(begun, str) and begun.startswith(_CHANGED_BASES):
        raise _cannot(
            text("it belongs to a base model that was changed before the training ({how})", how=begun[:40])
        )


def _cannot(reason: Text) -> CheckpointRefused:
    return CheckpointRefused(
        text("This adapter cannot be converted: {reason}.", reason=reason),
        hint=text("Merge it into its model with PEFT, then convert the whole."),
    )


def _stored(folder: Path) -> list[Stored]:
    """Return what the file of weights holds, in the order in which it lies there."""
    path = folder / WEIGHTS
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        if (folder / _PICKLE).exists():
            raise CheckpointRefused(
                text(
                    "The weights are only there as “{name}”, a file that runs a program when opened.",
                    name=_PICKLE,
                ),
                safe=text("LocalLLM never opens such files."),
                hint=text("Save the adapter again with PEFT: newer ones write safetensors."),
            )
        raise CheckpointRefused(
            text("There is no {name} in this folder.", name=WEIGHTS), hint=text("Download it again.")
        )
    shard = Shard(path, path.stat().st_size)
    return sorted(read_shard(path, shard), key=lambda tensor: (tensor.offset, tensor.name))


def _sorted_out(stored: list[Stored]) -> tuple[dict[str, tuple[Stored, Stored]], dict[str, Stored]]:
    halves: dict[str, dict[str, Stored]] = {}
    norms: dict[str, Stored] = {}
    for tensor in stored:
        side = next((side for ending, side in _SIDES.items() if tensor.name.endswith(ending)), None)
        name = _weight_of(tensor.name)
        if side is not None:
            halves.setdefault(name, {})[side] = tensor
        elif _NORM.search(tensor.name):
            norms[name] = tensor
        elif not tensor.name.endswith(_PASSED_OVER):
            raise _unexpected(tensor.name)
    if not halves:
        raise CheckpointRefused(text("The adapter holds no weights."))
    for name, pair in halves.items():
        if len(pair) < 2:
            raise CheckpointRefused(
                text("Half of what belongs to “{name}” is missing.", name=name),
                hint=text("Download it again; if it stays so, tell its publisher."),
            )
    return {name: (pair["a"], pair["b"]) for name, pair in halves.items()}, norms


def _weight_of(name: str) -> str:
    found = name.replace(_PREFIX, "")
    for ending in _SIDES:
        found = found.replace(ending, ".weight")
    return found


def _unexpected(name: str) -> CheckpointRefused:
    if ".embed_tokens.weight" in name or ".lm_head.weight" in name:
        return _cannot(text("it brings a whole embedding, because tokens were added to the vocabulary"))
    if "lora_magnitude_vector" in name:
        return _cannot(text("it was trained with DoRA, which changes the weights' lengths as well"))
    return _cannot(text("it holds “{name}”, which is no part of a LoRA", name=name[:200]))


@dataclass(slots=True)
class _Scaling:
    """By how much products are scaled: by alpha over the rank or its root, in llama.cpp always over the rank.

    Attributes:
        written: The alpha of the GGUF's key.
    """

    alpha: float
    rank: int
    rooted: bool
    alphas: dict[str, float]
    written: float
    notes: list[Text]

    @classmethod
    def of(cls, config: dict[str, Any]) -> _Scaling:
        alpha, rank = _number("lora_alpha", config.get("lora_alpha")), config.get("r")
        if type(rank) is not int or not 0 < rank < 1 << 20:
            raise unusable("r", rank)
        alphas = {
            name: _number(name, value) for name, value in as_object(config.get("alpha_pattern")).items()
        }
        for name in (*alphas, *as_object(config.get("rank_pattern"))):
            if not _PLAIN.fullmatch(name):
                raise _cannot(text("it names weights by the pattern “{pattern}”", pattern=name[:100]))
        rooted = bool(config.get("use_rslora"))
        written, notes = alpha, list[Text]()
        if rooted:
            written *= math.sqrt(rank)
            notes.append(
                text("It was trained with rsLoRA: its alpha is written so that the engine scales it rightly.")
            )
        return cls(alpha, rank, rooted, alphas, written, notes)

    def applied(self, weight: str, a: Stored, b: Stored) -> Factors:
        """Return the factors with the gain that makes up for a weight's own alpha or rank."""
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1] or 0 in (*a.shape, *b.shape):
            raise CheckpointRefused(
                text("What belongs to “{name}” does not fit together: {one} and {other}.", name=weight,
                     one="×".join(map(str, a.shape)), other="×".join(map(str, b.shape)))
            )  # fmt: skip
        rank = a.shape[0]
        alpha = next((alpha for name, alpha in self.alphas.items() if _matches(name, weight)), self.alpha)
        wanted = alpha / (math.sqrt(rank) if self.rooted else rank)
        gain = wanted * rank / self.written
        embedding = a.name.endswith("lora_embedding_A")
        return Factors(a, b, 1.0 if math.isclose(gain, 1.0, rel_tol=1e-12) else gain, embedding)


def _number(name: str, value: object) -> float:
    if (
        not isinstance(value, (int, float))
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not value
    ):
        raise unusable(name, value)
    return float(value)


def _matches(name: str, weight: str) -> bool:
    module = weight.removesuffix(".weight")
    return module == name or module.endswith(f".{name}")
