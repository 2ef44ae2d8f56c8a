"""`config.json` as the reference reads it: the text part laid over it, its class' defaults laid under it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from localllm.errors import CheckpointRefused
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TEXT_PARTS = ("llm_config", "lm_config", "language_config")
_GLOBAL_THETA = (
    "global_rope_theta",
    "rope_global_theta",
    "rope_theta_global",
    "rope_theta",
    "rotary_emb_base",
)
_LOCAL_THETA = (
    *("local_rope_theta", "rope_local_theta", "rope_theta_local", "swa_rope_theta"),
    "rope_local_base_freq",
)
_MAX_COUNT = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Filled:
    """A default that takes the place of a null as well: `make` computes it from what is there."""

    make: Callable[[Config], Any]


Defaults = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Config:
    """What a checkpoint says of itself.

    Attributes:
        values: The text part over the whole over the defaults; a null is a value.
        architecture: The class that it was made for, `LlamaForCausalLM`.
        model_type: What transformers calls its configuration, of the text part if that has one.
    """

    values: Mapping[str, Any]
    architecture: str
    model_type: str

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, *names: str, default: Any = None) -> Any:
        """Return the value of the first key that is there, be it null."""
        return next((self.values[name] for name in names if name in self.values), default)

    def count(self, *names: str, default: int | None = None) -> int:
        """Return a whole number that must be there unless there is a default for it.

        Raises:
            CheckpointRefused: It is missing, or is no whole number from 0 on.
        """
        value = self.get(*names)
        value = default if value is None else value
        if type(value) is not int or not 0 <= value <= _MAX_COUNT:
            raise unusable(names[0], value)
        return value

    @property
    def head_dim(self) -> int:
        """Elements of one attention head: said, or the width shared among the heads."""
        if self.get("head_dim") is not None:
            return self.count("head_dim")
        heads = self.count("num_attention_heads")
        if not heads:
            raise unusable("num_attention_heads", heads)
        return self.count("hidden_size") // heads

    @property
    def rope(self) -> dict[str, Any]:
        """How positions are encoded, in the shape of newer files, with what older ones say elsewhere."""
        found: object = self.get("rope_parameters", "rope_scaling") or {}
        if not isinstance(found, dict):
            raise unusable("rope_scaling", found)
        rope = dict(cast("dict[str, Any]", found))
        if "full_attention" in rope or "sliding_attention" in rope:
            return rope
        if (local := self.get(*_LOCAL_THETA)) is not None:
            rope["sliding_attention"] = {"rope_theta": local}
        rope_type = rope.get("type")
        for name, value in (
            ("rope_theta", self.get(*_GLOBAL_THETA)),
            ("rope_type", rope_type),
            ("partial_rotary_factor", self.get("partial_rotary_factor", "rope_pct", "rope_percent")),
            ("original_max_position_embeddings", self.get("original_max_position_embeddings")),
        ):
            if name not in rope and value is not None:
                rope[name] = value
        return rope

    @property
    def global_rope(self) -> dict[str, Any]:
        """The part of `rope` for the layers that see the whole context."""
        rope = self.rope
        whole = rope.get("full_attention", rope)
        if not isinstance(whole, dict):
            raise unusable("rope_parameters", rope)
        return cast("dict[str, Any]", whole)

    def over(self, defaults: Mapping[str, Any] | None) -> Config:
        """Return this laid over the defaults of its class; None if the reference does not know the class."""
        if defaults is None:
            return self
        plain = {name: value for name, value in defaults.items() if not isinstance(value, Filled)}
        config = replace(self, values={**plain, **self.values})
        filled = {**defaults, "num_key_value_heads": Filled(_heads)}
        for name, value in filled.items():
            if isinstance(value, Filled) and config.get(name) is None:
                config = replace(config, values={**config.values, name: value.make(config)})
        return config


def _heads(config: Config) -> int:
    return config.count("num_attention_heads")


def unusable(name: str, value: object) -> CheckpointRefused:
    """Return the refusal of a configuration for one of its values."""
    if value is None:
        return CheckpointRefused(
            text("config.json does not say {name}, which this architecture needs.", name=name)
        )
    shown = repr(value)[:60]
    return CheckpointRefused(
        text("config.json says {name} is {value}; that cannot be.", name=name, value=shown)
    )


def config_of(raw: Mapping[str, Any]) -> Config:
    """Lay the text part of a configuration over the whole.

    Raises:
        CheckpointRefused: It does not name its architecture.
    """
    part = next(
        (raw[name] for name in _TEXT_PARTS if isinstance(raw.get(name), dict)), raw.get("text_config")
    )
    inner = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
    classes = inner.get("architectures") or raw.get("architectures")
    if not isinstance(classes, list) or not classes or not isinstance(classes[0], str):
        raise CheckpointRefused(text("config.json does not name an architecture."))
    model_type = inner.get("model_type", raw.get("model_type"))
    return Config({**raw, **inner}, classes[0], model_type if isinstance(model_type, str) else "")
