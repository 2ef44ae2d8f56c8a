"""Vocabularies of SentencePiece, from tokenizer.model and the lists of added tokens beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentencepiece import SentencePieceProcessor

from localllm.core.convert.small_files import as_list, as_object, damaged, read_bytes, read_object
from localllm.core.convert.vocabulary.tokens import (
    LISTED_SCORE,
    Kind,
    Tokens,
    looks_special,
    unused,
    vocabulary_size,
    with_spaces,
)
from localllm.texts import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PIECES = "tokenizer.model"


def sentencepiece_tokens(folder: Path, config: Mapping[str, Any], *, phi3: bool = False) -> Tokens | None:
    """Return the tokens, None if the folder has no tokenizer.model.

    Args:
        folder: The checkpoint.
        config: Of the model, for the number of tokens; the rest is filled up.
        phi3: Phi-3's way: tokenizer.json's added tokens count too, and no token is special by its looks.

    Raises:
        CheckpointRefused: One of its files is damaged, or the number of tokens is impossible.
    """
    content = read_bytes(folder, PIECES)
    if content is None:
        return None
    pieces = SentencePieceProcessor()
    try:
        pieces.LoadFromSerializedProto(content)
    except (RuntimeError, ValueError, TypeError) as error:
        raise damaged(PIECES, error) from error
    count = pieces.GetPieceSize()
    names = ("vocab_size",) if phi3 else ("vocab_size_per_layer_input", "vocab_size")
    tokens = unused(vocabulary_size(config, count, *names))
    placed = _Places(tokens)
    for number in range(count):
        placed.put(number, _piece(pieces, number), _kind(pieces, number), pieces.GetScore(number))
    for number, token, kind in _added(folder, phi3=phi3):
        placed.put(number, token.encode("utf-8", "replace"), kind, LISTED_SCORE)
    if placed.outside:
        sentence = "{count} tokens of the tokenizer have no place in the model and were left out."
        one = "One token of the tokenizer has no place in the model and was left out."
        tokens.notes.append(plural(placed.outside, one, sentence))
    return tokens


class _Places:
    """Puts tokens where they belong and counts those that have no place."""

    def __init__(self, tokens: Tokens) -> None:
        self._texts: list[Any] = tokens.texts
        self._tokens = tokens
        self.outside = 0

    def put(self, number: int, token: bytes, kind: Kind, score: float) -> None:
        if not 0 <= number < len(self._texts):
            self.outside += 1
            return
        self._texts[number] = token
        self._tokens.kinds[number] = kind.value
        self._tokens.scores[number] = score


def _piece(pieces: SentencePieceProcessor, number: int) -> bytes:
    try:
        return pieces.IdToPiece(number).encode("utf-8", "surrogateescape")
    except UnicodeError as error:
        raise damaged(PIECES, error) from error


def _kind(pieces: SentencePieceProcessor, number: int) -> Kind:
    if pieces.IsUnknown(number):
        return Kind.UNKNOWN
    if pieces.IsControl(number):
        return Kind.CONTROL
    if pieces.IsUnused(number):
        return Kind.UNUSED
    return Kind.BYTE if pieces.IsByte(number) else Kind.NORMAL


def _added(folder: Path, *, phi3: bool) -> Iterator[tuple[int, str, Kind]]:
    """Yield the added tokens of every list beside the model; a later one counts."""
    for content, number in (read_object(folder, "added_tokens.json") or {}).items():
        if isinstance(number, int):
            yield number, content, Kind.USER_DEFINED
    said = as_object((read_object(folder, "tokenizer_config.json") or {}).get("added_tokens_decoder"))
    listed: list[tuple[object, object]] = [*said.items()]
    if phi3:
        tokenizer = read_object(folder, "tokenizer.json") or {}
        listed += [(as_object(entry).get("id"), entry) for entry in as_list(tokenizer.get("added_tokens"))]
    for number, entry in listed:
        content = as_object(entry).get("content")
        if isinstance(content, str) and str(number).isdecimal():
            yield (
                int(str(number)),
                *_listed(content, special=bool(as_object(entry).get("special")), phi3=phi3),
            )


def _listed(content: str, *, special: bool, phi3: bool) -> tuple[str, Kind]:
    if special or (not phi3 and looks_special(content)):
        return content, Kind.CONTROL
    return (content if phi3 else with_spaces(content)), Kind.USER_DEFINED
