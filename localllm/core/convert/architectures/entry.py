"""What an architecture's entry says, and how to add one.

An entry is data: one file with `ENTRIES`, named in `architectures/__init__.py`; `llama.py` is to be copied.

1. `name` is llama.cpp's, `classes` those of config.json. The names of tensors that gguf's own list knows for
   the architecture need nothing; `names` adds what it lacks, `{layer}` standing for the number.
2. `defaults` has, for each model_type, what transformers' class fills in where config.json is silent, as far
   as it reaches the file. A model_type that the reference does not know has no line here.
3. `rules` are tried in order on the checkpoint's name of each tensor; the first that matches it whole (and
   whose `when` holds) decides. What a rule gives is named as in a checkpoint, or as in a GGUF, whichever is
   shorter to say.
4. `keys` is `COMMON` and what comes after it, or a list of its own. Where a value takes more than a lookup, a
   setting has a function.
5. `extra_tensors` come first in the file and have GGUF names; one of type MXFP4 gives its blocks as bytes.
   `early_keys` are written before all other keys.
6. `named` gives the tensors other names before anything else looks at them, or leaves them out.
7. `objection` names what cannot be converted although the class can.

Then convert a tiny checkpoint of it with the reference and compare: tests/core/convert has the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from localllm.core.convert import changes
from localllm.core.convert.config import unusable
from localllm.gguf.keys import Key

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from localllm.core.convert.config import Config, Defaults
    from localllm.core.convert.tensors import Tensor
    from localllm.core.convert.vocabulary import VocabularyKind
    from localllm.gguf.keys import KeyType, Value
    from localllm.texts import Text


@dataclass(frozen=True, slots=True)
class Origin:
    """A checkpoint as an entry sees it.

    Attributes:
        config: With the defaults of its class.
        tensors: By the name that rules match: quantized ones restored, other modalities gone.
        layers: Of the file that is made.
    """

    folder: Path
    config: Config
    tensors: Mapping[str, Tensor]
    layers: int


Change = Callable[["Tensor", Origin], "Tensor"]
Name = str | Callable[["re.Match[str]", Origin], str]
When = Callable[[Origin], bool]


@dataclass(frozen=True, slots=True)
class Into:
    """One tensor that a rule gives: its name, made from the pattern's groups, and what is done to it."""

    name: Name = r"\g<0>"
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of the tensors whose whole name matches `pattern`; without `into` they are left out."""

    pattern: str
    into: tuple[Into, ...] = ()
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Experts:
    """Experts that lie apart, one stack for each part, given when the last of a layer was met.

    Attributes:
        pattern: Its groups are `layer`, `expert` and `part`.
        parts: For each part, in the order of writing, the name of its stack, with `{layer}`.
        count: The config keys for the number of experts.
    """

    pattern: str
    parts: Mapping[str, str]
    count: tuple[str, ...] = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True, slots=True)
class Setting:
    """One GGUF key, without the architecture's name in front; nothing is written if it comes out as None.

    Attributes:
        names: The config keys, of which the first that is there counts.
        make: Computes the value instead.
    """

    name: str
    type: KeyType
    names: tuple[str, ...] = ()
    default: Value | None = None
    make: Callable[[Origin], Value | None] | None = None

    def keys(self, origin: Origin) -> Iterable[Key]:
        """Return the key, or nothing.

        Raises:
            CheckpointRefused: config.json has something else than such a value.
        """
        value: Any = self.make(origin) if self.make else origin.config.get(*self.names, default=self.default)
        value = self.default if value is None else value
        if value is None:
            return
        singles = cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else (value,)
        for single in singles:
            if not _fits(single, self.type):
                raise unusable(self.names[0] if self.names else self.name, single)
        yield Key(self.name, self.type, cast("Value", value))


def _fits(value: object, type_: KeyType) -> bool:
    if type_ == "bool":
        return isinstance(value, bool)
    if type_ == "string":
        return isinstance(value, str)
    if type_ in ("f32", "f64"):
        return type(value) in (int, float)
    low, high = {"u32": (0, 2**32), "i32": (-(2**31), 2**31)}.get(type_, (0, 2**8))
    return type(value) is int and low <= value < high


@dataclass(frozen=True, slots=True)
class FileType:
    """Stands in a list of keys where `general.file_type` comes."""


KeySource = Setting | FileType | Callable[[Origin], Iterable[Key]]


@dataclass(frozen=True, slots=True)
class Architecture:
    """How checkpoints of one architecture become GGUF; see the head of this file.

    Attributes:
        vocabulary: What is tried, in order, to make the vocabulary.
        uniform: Whether every layer has the same tensors, so that one that is missing can be told.
        named: The name that rules match, for one in the checkpoint; None where the tensor is left out.
        layers: The number of layers written, where config.json does not say it alone; it sees the names that
            `named` gave.
        finish: Sets keys after the vocabulary's.
    """

    name: str
    classes: tuple[str, ...]
    vocabulary: tuple[VocabularyKind, ...]
    keys: Sequence[KeySource]
    defaults: Mapping[str, Defaults] = field(default_factory=dict[str, "Defaults"])
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    named: Callable[[str, Config], str | None] | None = None
    rules: tuple[Rule | Experts, ...] = ()
    early_keys: tuple[Setting, ...] = ()
    extra_tensors: Callable[[Origin], Iterable[Tensor]] | None = None
    uniform: bool = True
    layers: Callable[[Config, Mapping[str, Tensor]], int] | None = None
    finish: Callable[[Origin], Iterable[Key]] | None = None
    objection: Callable[[Origin], Text | None] | None = None


def count(name: str, *names: str, default: int | None = None) -> Setting:
    """A whole number from 0 on (u32)."""
    return Setting(name, "u32", names, default)


def real(name: str, *names: str, default: float | None = None) -> Setting:
    """A number (f32)."""
    return Setting(name, "f32", names, default)


def made(name: str, type_: KeyType, make: Callable[[Origin], Value | None]) -> Setting:
    """A value that takes more than a lookup."""
    return Setting(name, type_, make=make)


def drop(pattern: str, when: When | None = None) -> Rule:
    """Leave tensors out."""
    return Rule(pattern, when=when)


def rename(pattern: str, name: Name) -> Rule:
    """Only another name."""
    return Rule(pattern, (Into(name),))


def change(
    pattern: str,
    how: Change,
    name: Name = r"\g<0>",
) -> Rule:
    """One tensor in, one out."""
    return Rule(pattern, (Into(name, how),))


def norms_plus_one(pattern: str = r".*norm\.weight") -> Rule:
    """Norms that are stored around zero."""
    return change(pattern, lambda tensor, _: changes.plus_one(tensor))


def rotary_pairs() -> tuple[Rule, ...]:
    """Weights and biases of queries and keys from two halves of each head to pairs."""

    def pairs(*heads: str) -> Change:
        return lambda tensor, origin: changes.interleaved_halves(tensor, origin.config.count(*heads))

    queries, keys = ("num_attention_heads",), ("num_key_value_heads", "num_attention_heads")
    return (
        change(r".*q_proj\.(weight|bias)", pairs(*queries)),
        change(r".*k_proj\.(weight|bias)", pairs(*keys)),
    )


def separate_experts(prefix: str = r"model\.layers\.(?P<layer>\d+)\.mlp\.experts\.") -> Experts:
    """Experts with `down_proj`, `gate_proj` and `up_proj`, written in that order."""
    return Experts(
        prefix + r"(?P<expert>\d+)\.(?P<part>down_proj|gate_proj|up_proj)\.weight",
        {
            "down_proj": "blk.{layer}.ffn_down_exps.weight",
            "gate_proj": "blk.{layer}.ffn_gate_exps.weight",
            "up_proj": "blk.{layer}.ffn_up_exps.weight",
        },
    )
