"""Vocabularies of bytes that are merged (GPT-2 and most of today's models), from tokenizer.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from localllm.core.convert.small_files import as_list, as_object, read_text
from localllm.core.convert.vocabulary.digests import digest_of, name_of, probe
from localllm.core.convert.vocabulary.tokens import (
    Kind,
    Tokens,
    looks_special,
    too_large_id,
    vocabulary_size,
    with_spaces,
)
from localllm.errors import CheckpointRefused
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tokenizers import AddedToken

    from localllm.core.convert.vocabulary.loaded import LoadedTokenizer

_WRITTEN_SPACE = "\u0120"  # how such vocabularies write a space


def byte_level_tokens(loaded: LoadedTokenizer, config: Mapping[str, Any]) -> tuple[Tokens, str]:
    """Return the tokens, and llama.cpp's name for how text is cut.

    Raises:
        CheckpointRefused: llama.cpp does not know how it is cut, or there are more tokens than the model has.
    """
    vocabulary = loaded.tokenizer.get_vocab(with_added_tokens=True)
    size = vocabulary_size(config, len(vocabulary), "vocab_size")
    largest = max(vocabulary.values(), default=-1)
    if largest >= size:
        raise too_large_id(largest, size)
    pre = name_of(digest_of(loaded.ids(probe(), ends=True)))
    texts = [f"[PAD{number}]" for number in range(size)]
    kinds = [int(Kind.UNUSED)] * size
    for token, number in sorted(vocabulary.items()):  # the library's order is another each time
        texts[number], kinds[number] = token, Kind.NORMAL.value
    added = loaded.added()
    for number, token in added.items():
        texts[number], kinds[number] = _added(token, loaded)
    return Tokens(texts, kinds, added={token.content: number for number, token in added.items()}), pre


def _added(token: AddedToken, loaded: LoadedTokenizer) -> tuple[str, int]:
    """Return an added token as llama.cpp wants it, already normalized."""
    written = token.content if token.normalized else loaded.read_back(token.content)
    if token.special or looks_special(written):
        return written, Kind.CONTROL.value
    return with_spaces(written), Kind.USER_DEFINED.value


def merges_of(tokenizer: Mapping[str, Any], folder: Path) -> list[str]:
    """Return the merges, each two parts with a space between; a space inside a part is written out.

    Raises:
        CheckpointRefused: There are none, or they are of no known shape.
    """
    listed = as_list(as_object(tokenizer.get("model")).get("merges"))
    if not listed:
        return _merges_beside(folder)
    for number, merge in enumerate(listed):  # in place: half a million pairs weigh more than their texts
        listed[number] = _joined(merge)
    return listed


def _joined(merge: object) -> str:
    if isinstance(merge, str):
        return merge
    parts = as_list(merge)
    if len(parts) != 2 or not all(isinstance(part, str) for part in parts):
        raise CheckpointRefused(
            text("tokenizer.json has a merge that is no pair of texts: {merge}.", merge=repr(merge)[:60])
        )
    first, second = cast("list[str]", parts)
    return f"{first.replace(' ', _WRITTEN_SPACE)} {second.replace(' ', _WRITTEN_SPACE)}"


def _merges_beside(folder: Path) -> list[str]:
    lines = (read_text(folder, "merges.txt") or "").split("\n")
    if lines[0].strip().startswith("#"):
        del lines[0]
    pairs = [line.split(None, 3) for line in lines]
    merges = [" ".join(pair) for pair in pairs if len(pair) == 2]
    if not merges:
        raise CheckpointRefused(
            text("The tokenizer has no list of merges, without which llama.cpp cannot load it.")
        )
    return merges
