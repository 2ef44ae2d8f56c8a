"""The keys of a GGUF file that is being made, in the order in which they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

KeyType = Literal["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "u64", "i64", "f64"]
Plain = str | bytes | int | float | bool
Value = Plain | Sequence[Plain]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `type` is that of the value, or of its elements if the value is an array."""

    name: str
    type: KeyType
    value: Value

    @property
    def is_array(self) -> bool:
        """Whether the value is a list of values; text and bytes are none."""
        return isinstance(self.value, Sequence) and not isinstance(self.value, (str, bytes))


class Keys:
    """Keys in order; one that is set twice keeps its first place and has its last value."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def get(self, name: str) -> Value | None:
        """Return the value of a key, None if it was not set."""
        key = self._keys.get(name)
        return None if key is None else key.value

    def set(self, name: str, type_: KeyType, value: Value | None) -> None:
        """Set a key; nothing is set for None, for an empty text and for an empty array."""
        if value is None or (isinstance(value, (str, bytes, Sequence)) and not len(value)):
            return
        self._keys[name] = Key(name, type_, value)

    def add_all(self, others: Keys) -> None:
        """Set every key of another list."""
        for key in others:
            self._keys[key.name] = key
