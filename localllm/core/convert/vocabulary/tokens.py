"""The tokens of a vocabulary that is being made, and what all kinds of tokenizer share."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from localllm.errors import CheckpointRefused
from localllm.gguf.vocabulary import MAX_VOCABULARY
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.gguf.keys import Keys
    from localllm.texts import Text

_LOOK_SPECIAL = frozenset({"<pad>", "<mask>", "<2mass>", "[@BOS@]"})
_FRAMES = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
LISTED_SCORE = -1000.0
_UNUSED_SCORE = -10000.0


class Kind(IntEnum):
    """GGUF's kinds of token (`tokenizer.ggml.token_type`)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(slots=True)
class Tokens:
    """The tokens by number.

    Attributes:
        scores: Empty where the tokenizer merges bytes and has none.
        added: The numbers of the added tokens, by text.
        notes: What the person should know.
    """

    texts: list[str] | list[bytes]
    kinds: list[int]
    scores: list[float] = field(default_factory=list[float])
    added: dict[str, int] = field(default_factory=dict[str, int])
    notes: list[Text] = field(default_factory=list["Text"])

    def set_keys(self, keys: Keys, model: str, pre: str = "") -> None:
        """Set the keys of the tokens; `model` and `pre` are llama.cpp's names.

        Raises:
            CheckpointRefused: Two tokens are the same, on which llama.cpp ends the process.
        """
        if len(set(self.texts)) != len(self.texts):
            raise _repeated(self.texts)
        keys.set("tokenizer.ggml.model", "string", model)
        keys.set("tokenizer.ggml.pre", "string", pre)
        keys.set("tokenizer.ggml.tokens", "string", self.texts)
        keys.set("tokenizer.ggml.scores", "f32", self.scores)
        keys.set("tokenizer.ggml.token_type", "i32", self.kinds)


def unused(size: int) -> Tokens:
    """Return a vocabulary of this size in which every place is still free."""
    return Tokens(
        [f"[PAD{number}]".encode() for number in range(size)],
        [int(Kind.UNUSED)] * size,
        [_UNUSED_SCORE] * size,
    )


def looks_special(token: str) -> bool:
    """Whether a token marks structure by its looks, though nothing says that it is special."""
    framed = any(token.startswith(begin) and token.endswith(end) for begin, end in _FRAMES)
    return framed or token in _LOOK_SPECIAL


def with_spaces(token: str) -> str:
    """Return a token with SentencePiece's mark for a space read as one."""
    return token.replace("\u2581", " ")


def vocabulary_size(config: Mapping[str, Any], default: int, *names: str) -> int:
    """Return how many tokens config.json says there are: the first of these keys that has a number.

    Raises:
        CheckpointRefused: It is no number of tokens.
    """
    size = next((config[name] for name in names if config.get(name) is not None), default) or default
    if type(size) is not int or not 0 < size <= MAX_VOCABULARY:
        raise CheckpointRefused(
            text(
                "The checkpoint says that it has {size} tokens; between 1 and {limit} are possible.",
                size=str(size)[:40],
                limit=MAX_VOCABULARY,
            )
        )
    return size


def too_large_id(largest: int, size: int) -> CheckpointRefused:
    """Return the refusal of a vocabulary with a number that the model has no place for."""
    return CheckpointRefused(
        text(
            "The tokenizer has a token no. {largest}, but config.json says that there are only {size}.",
            largest=str(largest),
            size=size,
        ),
        hint=text("Tell its publisher; tokenizer and weights do not belong together."),
    )


def _repeated(texts: Sequence[str | bytes]) -> CheckpointRefused:
    seen: dict[str | bytes, int] = {}
    for number, token in enumerate(texts):
        if token in seen:
            shown = token.decode("utf-8", "replace") if isinstance(token, bytes) else token
            return CheckpointRefused(
                text(
                    "Its vocabulary has the token “{token}” twice, as no. {first} and no. {second}, which "
                    "llama.cpp cannot load.",
                    token=shown[:40],
                    first=str(seen[token]),
                    second=str(number),
                )
            )
        seen[token] = number
    raise AssertionError
