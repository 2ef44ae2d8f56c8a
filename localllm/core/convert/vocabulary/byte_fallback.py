"""Vocabularies of pieces, with bytes for what has no piece, from tokenizer.json (as Llama 2's, Gemma 4's)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tokenizers.decoders import Sequence
from tokenizers.models import BPE

from localllm.core.convert.vocabulary.tokens import LISTED_SCORE, Kind, Tokens
from localllm.errors import CheckpointRefused
from localllm.gguf.vocabulary import MAX_VOCABULARY
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.convert.vocabulary.loaded import LoadedTokenizer

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
# Gemma 4's marks for tools and thoughts, which whoever parses an answer must see
_SEEN = frozenset({
    "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>",
    "<|tool_response>", "<tool_response|>", '<|"|>',
})  # fmt: skip


def has_byte_fallback(loaded: LoadedTokenizer) -> bool:
    """Whether tokenizer.json is of this kind."""
    model = loaded.tokenizer.model
    return isinstance(model, BPE) and model.byte_fallback and isinstance(loaded.tokenizer.decoder, Sequence)


def byte_fallback_tokens(loaded: LoadedTokenizer) -> Tokens:
    """Return the tokens; they are not filled up to the number that config.json has.

    Raises:
        CheckpointRefused: Numbers are missing or there are too many.
    """
    base = loaded.tokenizer.get_vocab_size(with_added_tokens=False)
    by_number = {number: token for token, number in loaded.tokenizer.get_vocab().items()}
    size = max(len(by_number), base)
    missing = next((number for number in range(min(size, MAX_VOCABULARY)) if number not in by_number), None)
    if missing is not None or size > MAX_VOCABULARY:
        raise CheckpointRefused(
            text(
                "The numbers of the tokenizer's {count} tokens have gaps (no. {missing} is missing), so "
                "llama.cpp would take one token for another.",
                count=len(by_number),
                missing=str(MAX_VOCABULARY if missing is None else missing),
            )
        )
    texts = [by_number[number] for number in range(size)]
    kinds = [
        _kind(token, special=token in loaded.special_texts, added=number >= base)
        for number, token in enumerate(texts)
    ]
    added = {token.content: number for number, token in loaded.added().items()}
    return Tokens(texts, kinds, [LISTED_SCORE] * size, added)


def show_markers(tokens: Tokens) -> None:
    """Let the marks for tools and thoughts be seen in answers."""
    for number, token in enumerate(tokens.texts):
        if token in _SEEN:
            tokens.kinds[number] = Kind.USER_DEFINED.value


def _kind(token: str, *, special: bool, added: bool) -> int:
    if not added and _BYTE.fullmatch(token):
        return Kind.BYTE.value
    if special:
        return Kind.CONTROL.value
    return Kind.USER_DEFINED.value if added else Kind.NORMAL.value
