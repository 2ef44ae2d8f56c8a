"""The vocabulary of a GGUF file that is being made, from a checkpoint's tokenizer files.

Keys, their order and their values are llama.cpp's converter's (0c1e570, with transformers 4.57.6).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from localllm.core.convert.small_files import MAX_TOKENIZER, as_list, as_object, read_object
from localllm.core.convert.vocabulary.byte_fallback import (
    byte_fallback_tokens,
    has_byte_fallback,
    show_markers,
)
from localllm.core.convert.vocabulary.byte_level import byte_level_tokens, merges_of
from localllm.core.convert.vocabulary.chat_template import add_chat_templates
from localllm.core.convert.vocabulary.loaded import TOKENIZER, LoadedTokenizer, load_tokenizer
from localllm.core.convert.vocabulary.sentencepiece import PIECES, sentencepiece_tokens
from localllm.core.convert.vocabulary.special import find_special_tokens
from localllm.errors import CheckpointRefused
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from localllm.core.convert.vocabulary.tokens import Tokens
    from localllm.gguf.keys import Keys
    from localllm.texts import Text

VocabularyKind = Literal["sentencepiece", "byte_fallback", "bpe", "gemma4", "phi3", "glm4"]

_CODE_LLAMA, _CODE_LLAMA_EOT = 32016, 32010  # its number of tokens, and the one that ends a turn
_NO_BOS = 49152  # the number of tokens by which llama.cpp knows models that begin without one
# roles that GLM-4's files leave open, and whose token takes them
_GLM4 = (("eos", "<|endoftext|>"), ("eot", "<|user|>"), ("unk", "<|endoftext|>"), ("bos", "<|endoftext|>"))


@dataclass(frozen=True, slots=True)
class VocabularyFacts:
    """What was made.

    Attributes:
        kind: The attempt that succeeded.
        model: llama.cpp's name for the kind of tokenizer.
        pre: Its name for how text is cut; "" where that does not apply.
        size: The number of tokens.
        notes: What the person should know.
    """

    kind: VocabularyKind
    model: str
    pre: str
    size: int
    notes: tuple[Text, ...] = ()


def add_vocabulary(
    keys: Keys, folder: Path, config: Mapping[str, Any], order: Sequence[VocabularyKind]
) -> VocabularyFacts:
    """Set the keys of the vocabulary; nothing of the tokenizer stays in memory but what the keys hold.

    Args:
        keys: Of the file, to which these are added.
        folder: The checkpoint.
        config: config.json with the text part laid over and the defaults laid under.
        order: The kinds to try; with "byte_fallback" among them, the rules of the Llama family apply.

    Raises:
        CheckpointRefused: There is no tokenizer that can be used, or it is damaged; the sentence says which.
    """
    source = _Source(folder, config, read_object(folder, "tokenizer_config.json"))
    llama = "byte_fallback" in order
    if llama:
        _begin_llama(keys, source)
    made = next((made for kind in order if (made := source.make(kind)) is not None), None)
    if made is None:
        raise _no_tokenizer(folder)
    source.loaded = None
    made.tokens.set_keys(keys, made.model, made.pre)
    notes = [*made.tokens.notes, *_add_special(keys, source, made)]
    if made.kind == "gemma4":
        keys.set("tokenizer.ggml.add_space_prefix", "bool", value=False)
        keys.set("tokenizer.ggml.add_bos_token", "bool", value=True)
    if llama and config.get("vocab_size") == _CODE_LLAMA:
        keys.set("tokenizer.ggml.eot_token_id", "u32", _CODE_LLAMA_EOT)
    if llama and config.get("vocab_size") == _NO_BOS:
        keys.set("tokenizer.ggml.add_bos_token", "bool", value=False)
    return VocabularyFacts(made.kind, made.model, made.pre, len(made.tokens.texts), tuple(notes))


def gemma3_rows(folder: Path, config: Mapping[str, Any]) -> int:
    """Return how many rows of a Gemma 3 embedding belong to tokens.

    Raises:
        CheckpointRefused: A file of the tokenizer is damaged.
    """
    tokens = sentencepiece_tokens(folder, config)
    if tokens is not None:
        return len(tokens.texts)
    tokenizer = read_object(folder, TOKENIZER, MAX_TOKENIZER) or {}
    vocabulary = as_object(as_object(tokenizer.get("model")).get("vocab"))
    return len(vocabulary) + len(as_list(tokenizer.get("added_tokens")))


def check_rows(facts: VocabularyFacts, rows: int) -> None:
    """Compare the vocabulary with the rows of the embedding.

    Raises:
        CheckpointRefused: They differ, so llama.cpp would not load the file.
    """
    if rows != facts.size:
        raise CheckpointRefused(
            text(
                "The tokenizer has {tokens} tokens and the weights have {rows} rows for them; llama.cpp "
                "loads only a file in which both are the same.",
                tokens=facts.size,
                rows=rows,
            ),
            hint=text("Look for a GGUF file that its publisher made."),
        )


@dataclass(slots=True)
class _Made:
    """One attempt that succeeded; `merges` says whether llama.cpp needs them."""

    kind: VocabularyKind
    tokens: Tokens
    model: str
    pre: str = "default"
    merges: bool = False
    roles: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Source:
    """A checkpoint's tokenizer files, and tokenizer.json once it was loaded."""

    folder: Path
    config: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any] | None
    loaded: LoadedTokenizer | None = field(default=None)

    def make(self, kind: VocabularyKind) -> _Made | None:
        """Try one kind; None if its files are not there."""
        match kind:
            case "sentencepiece":
                tokens = sentencepiece_tokens(self.folder, self.config)
                return None if tokens is None else _Made(kind, tokens, "llama")
            case "phi3":
                return self._phi3()
            case "byte_fallback" | "gemma4":
                return self._byte_fallback(kind)
            case "bpe" | "glm4":
                return self._byte_level(kind)

    def _load(self) -> LoadedTokenizer | None:
        if self.loaded is None:
            self.loaded = load_tokenizer(self.folder, self.config)
        return self.loaded

    def _phi3(self) -> _Made | None:
        if (self.tokenizer_config or {}).get("tokenizer_class") == "GPT2Tokenizer":
            return self._byte_level("phi3")
        tokens = sentencepiece_tokens(self.folder, self.config, phi3=True)
        return None if tokens is None else _Made("phi3", tokens, "llama")

    def _byte_fallback(self, kind: VocabularyKind) -> _Made | None:
        loaded = self._load()
        if loaded is None or not has_byte_fallback(loaded):
            return None
        tokens = byte_fallback_tokens(loaded)
        if kind == "byte_fallback":
            return _Made(kind, tokens, "llama")
        show_markers(tokens)
        return _Made(kind, tokens, "gemma4", pre="", merges=True)

    def _byte_level(self, kind: VocabularyKind) -> _Made | None:
        loaded = self._load()
        if loaded is None:
            return None
        tokens, pre = byte_level_tokens(loaded, self.config)
        return _Made(kind, tokens, "gpt2", pre, merges=True, roles=_GLM4 if kind == "glm4" else ())


def _begin_llama(keys: Keys, source: _Source) -> None:
    if (source.folder / "tekken.json").is_file() and not (source.folder / TOKENIZER).is_file():
        raise _no_tokenizer(source.folder)
    space = (source.tokenizer_config or {}).get("add_prefix_space")
    if isinstance(space, bool):
        keys.set("tokenizer.ggml.add_space_prefix", "bool", space)


def _add_special(keys: Keys, source: _Source, made: _Made) -> list[Text]:
    tokenizer = read_object(source.folder, TOKENIZER, MAX_TOKENIZER)
    if made.merges:
        keys.set("tokenizer.ggml.merges", "string", merges_of(tokenizer or {}, source.folder))
    as_object((tokenizer or {}).get("model")).clear()
    config = read_object(source.folder, "config.json") or {}
    special = find_special_tokens(tokenizer, source.tokenizer_config, config, len(made.tokens.texts))
    for role, token in made.roles:
        special.offer(role, made.tokens.added.get(token), len(made.tokens.texts))
    special.set_ids(keys)
    add_chat_templates(keys, source.folder, source.tokenizer_config)
    special.set_normalizer(keys)
    sentence = (
        "The number that the checkpoint gives for its “{role}” token is none of its tokens; it was left out."
    )
    return [text(sentence, role=role) for role in special.left_out if role not in special.ids]


def _no_tokenizer(folder: Path) -> CheckpointRefused:
    """Return the refusal of a checkpoint without a tokenizer that can be read, saying what it has instead."""
    names = sorted(path.name for path in folder.iterdir())
    other = next(
        (n for n in names if n == "tekken.json" or n.endswith(".tiktoken") or n.startswith("tokenization_")),
        None,
    )
    if other is not None:
        return CheckpointRefused(
            text(
                "The tokenizer is there only as “{name}”, which is read by a program of its own; none of the "
                "checkpoint's programs is ever run.",
                name=other,
            ),
            hint=text(
                "Look for a GGUF file, or for a copy of the checkpoint with {wanted}.", wanted=TOKENIZER
            ),
        )
    found = PIECES if PIECES in names else TOKENIZER if TOKENIZER in names else None
    if found is not None:
        return CheckpointRefused(
            text("The tokenizer in “{name}” is of a kind that this architecture cannot have.", name=found),
            hint=text("Look for a GGUF file that its publisher made."),
        )
    return CheckpointRefused(
        text("The checkpoint has no tokenizer: neither {one} nor {other}.", one=TOKENIZER, other=PIECES),
        hint=text("Download the whole repository, not only the weights."),
    )
