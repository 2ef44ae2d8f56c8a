"""A tokenizer.json as transformers 4.57.6 has it once it is loaded, with the `tokenizers` library alone.

The class that tokenizer_config.json names changes what the file says: it brings special tokens of its own,
some classes put the first and last token of a text where the file puts none, and flags of added tokens are
taken from tokenizer_config.json. Only with all of that is a digest the known one. No class is ever imported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from tokenizers import AddedToken, Tokenizer, pre_tokenizers, processors

from localllm.core.convert.small_files import (
    MAX_TOKENIZER,
    as_list,
    as_object,
    damaged,
    read_bytes,
    read_object,
)
from localllm.core.convert.vocabulary.special import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

TOKENIZER = "tokenizer.json"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_END_OF_TEXT = "<|endoftext|>"
_TIDIED = (
    *((" " + mark, mark) for mark in ".?!,"),
    (" ' ", "'"),
    *((" " + short, short) for short in ("n't", "'m", "'s", "'ve", "'re")),
)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Class:
    """What a tokenizer class brings along.

    Attributes:
        tokens: Its special tokens by role, where tokenizer_config.json has none.
        adds: Whether it puts bos and eos around a text if nothing is said, whatever tokenizer.json does; None
            if it leaves that to tokenizer.json.
        space: Whether it begins a text with a space if nothing is said; None if it leaves that alone.
    """

    tokens: Mapping[str, str] = field(default_factory=dict[str, str])
    adds: tuple[bool, bool] | None = None
    space: bool | None = False


_LLAMA: dict[str, str] = {"unk": "<unk>", "bos": "<s>", "eos": "</s>"}
_GPT2 = {"unk": _END_OF_TEXT, "bos": _END_OF_TEXT, "eos": _END_OF_TEXT}
_PLAIN = _Class()
_CLASSES = {
    "LlamaTokenizer": _Class(_LLAMA, (True, False), space=None),
    "CodeLlamaTokenizer": _Class(_LLAMA, (True, False), space=None),
    "GemmaTokenizer": _Class({"unk": "<unk>", "bos": "<bos>", "eos": "<eos>", "pad": "<pad>"}, (True, False)),
    "CohereTokenizer": _Class(
        {"unk": "<UNK>", "bos": "<BOS_TOKEN>", "eos": "<|END_OF_TURN_TOKEN|>"}, (True, False)
    ),
    "GPTNeoXTokenizer": _Class(_GPT2, (False, False)),
    "GPT2Tokenizer": _Class(_GPT2),
    "CodeGenTokenizer": _Class(_GPT2),
    "Qwen2Tokenizer": _Class({"unk": _END_OF_TEXT, "eos": _END_OF_TEXT, "pad": _END_OF_TEXT}),
    "BloomTokenizer": _Class(_LLAMA | {"pad": "<pad>"}),
}
_OF_MODEL_TYPE = {
    **dict.fromkeys(
        ("llama", "mistral", "mixtral", "ministral", "mistral3", "phi3", "deepseek_v2", "deepseek_v3"),
        "LlamaTokenizer",
    ),
    **dict.fromkeys(
        ("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next"),
        "Qwen2Tokenizer",
    ),
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "gemma3_text"), "GemmaTokenizer"),
    **dict.fromkeys(("olmo", "olmo2", "gpt_neox", "stablelm"), "GPTNeoXTokenizer"),
    **dict.fromkeys(("gpt2", "granite", "olmo3", "starcoder2"), "GPT2Tokenizer"),
    **dict.fromkeys(("cohere", "cohere2"), "CohereTokenizer"),
}


@dataclass(slots=True)
class LoadedTokenizer:
    """A tokenizer ready to be asked.

    Attributes:
        special_texts: The texts of the tokens with a role, and of the additional ones.
        tidies: Whether decoding takes spaces away before punctuation.
    """

    tokenizer: Tokenizer
    special_texts: frozenset[str]
    tidies: bool

    def added(self) -> dict[int, AddedToken]:
        """Return the added tokens by number."""
        return self.tokenizer.get_added_tokens_decoder()

    def ids(self, written: str, *, ends: bool) -> list[int]:
        """Return the tokens of a text, with what is put around it if `ends`."""
        return guarded(lambda: self.tokenizer.encode(written, add_special_tokens=ends).ids)

    def read_back(self, written: str) -> str:
        """Return a text after it went through the tokenizer and back."""
        ids = self.ids(written, ends=False)
        text = guarded(lambda: self.tokenizer.decode(ids, skip_special_tokens=False))
        return _tidy(text) if self.tidies else text


def load_tokenizer(folder: Path, config: Mapping[str, Any]) -> LoadedTokenizer | None:
    """Load a folder's tokenizer.json as its class would have it; None if there is none.

    Args:
        folder: The checkpoint.
        config: Of the model, for the class where tokenizer_config.json names none.

    Raises:
        CheckpointRefused: One of its files is damaged or too large.
    """
    content = read_bytes(folder, TOKENIZER, MAX_TOKENIZER)
    if content is None:
        return None
    tokenizer = guarded(partial(Tokenizer.from_buffer, content))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    said = read_object(folder, "tokenizer_config.json") or {}
    kind = _class_of(said, config)
    wanted = _listed(said, folder, tokenizer)
    roles = _roles(said, kind, {token.content: token for token in wanted.values()})
    guarded(lambda: _add(tokenizer, wanted, roles))
    guarded(lambda: _set_space(tokenizer, said, kind))
    guarded(lambda: _set_ends(tokenizer, said, kind, roles))
    tokenizer.encode_special_tokens = said.get("split_special_tokens") is True
    texts = frozenset(str(token) for tokens in roles.values() for token in tokens)
    return LoadedTokenizer(tokenizer, texts, said.get("clean_up_tokenization_spaces") is True)


def guarded(work: Callable[[], Result]) -> Result:
    """Do something with the library, whose Rust code raises what it likes when a file is damaged.

    Raises:
        CheckpointRefused: It raised.
    """
    try:
        return work()
    except Exception as error:
        raise damaged(TOKENIZER, error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise damaged(TOKENIZER, error) from error


def _class_of(said: Mapping[str, Any], config: Mapping[str, Any]) -> _Class:
    name = said.get("tokenizer_class") or config.get("tokenizer_class")
    if not isinstance(name, str):
        name = _OF_MODEL_TYPE.get(str(config.get("model_type")), "")
    return _CLASSES.get(name.removesuffix("Fast"), _PLAIN)


def _listed(said: dict[str, Any], folder: Path, tokenizer: Tokenizer) -> dict[int, AddedToken]:
    """Return the added tokens that the folder's files list, by number; roles of older files are learned."""
    if "added_tokens_decoder" in said:
        listed = as_object(said["added_tokens_decoder"])
        return {int(number): _token(entry) for number, entry in listed.items() if number.isdecimal()}
    for key, value in (read_object(folder, "special_tokens_map.json") or {}).items():
        more = key == "additional_special_tokens"
        said[key] = [*as_list(said.get(key)), *as_list(value)] if more else value
    roles = {_content(said.get(f"{role}_token")) for role in ROLES}
    roles |= {_content(token) for token in as_list(said.get("additional_special_tokens"))}
    found: dict[int, AddedToken] = {}
    for text, number in (read_object(folder, "added_tokens.json") or {}).items():
        if isinstance(number, int):
            special = text in roles
            found[number] = AddedToken(text, normalized=not special, special=special)
    return found | tokenizer.get_added_tokens_decoder()


def _roles(
    said: Mapping[str, Any], kind: _Class, known: Mapping[str, AddedToken]
) -> dict[str, list[AddedToken | str]]:
    """Return the tokens of each role and the additional ones; text alone where nothing more is said of it."""
    roles: dict[str, list[AddedToken | str]] = {}
    for role in ROLES:
        entry = said.get(f"{role}_token") if f"{role}_token" in said else kind.tokens.get(role)
        content = _content(entry)
        if content is not None:
            default = content if isinstance(entry, str) else _token(entry)
            roles[role] = [known.get(content, default) if f"{role}_token" in said else content]
    entries = as_list(said.get("additional_special_tokens"))
    roles["additional"] = [
        entry if isinstance(entry, str) else _token(entry) for entry in entries if _content(entry) is not None
    ]
    return roles


def _content(entry: object) -> str | None:
    content = entry if isinstance(entry, str) else as_object(entry).get("content")
    return content if isinstance(content, str) else None


def _token(entry: object) -> AddedToken:
    said = as_object(entry)
    flags = {name: bool(said[name]) for name in _FLAGS if name in said}
    return AddedToken(_content(entry) or "", **flags)


def _add(
    tokenizer: Tokenizer, wanted: Mapping[int, AddedToken], roles: Mapping[str, list[AddedToken | str]]
) -> None:
    """Add the tokens, those that are there with the flags of the list; what has a role is special."""
    new: list[AddedToken] = [token for _, token in sorted(wanted.items())]
    known = {token.content for token in (*tokenizer.get_added_tokens_decoder().values(), *new)}
    written = {repr(token) for token in new}
    special = {str(token) for tokens in roles.values() for token in tokens}
    for token in (token for tokens in roles.values() for token in tokens):
        if isinstance(token, str):
            if token not in known:
                known.add(token)
                new.append(AddedToken(token, special=True))
        elif repr(token) not in written:
            written.add(repr(token))
            new.append(token)
    for token in new:
        token.special = token.special or token.content in special
    tokenizer.add_tokens(new)  # pyright: ignore[reportUnknownMemberType]


def _set_space(tokenizer: Tokenizer, said: Mapping[str, Any], kind: _Class) -> None:
    """Let a byte-level pre-tokenizer that stands alone begin texts with a space, or not."""
    if kind.space is None or tokenizer.pre_tokenizer is None:
        return
    state = as_object(json.loads(tokenizer.pre_tokenizer.__getstate__()))
    wanted = said.get("add_prefix_space", kind.space)
    if state.get("type") == "ByteLevel" and state.get("add_prefix_space", wanted) != wanted:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=wanted, use_regex=state.get("use_regex", True)
        )


def _set_ends(
    tokenizer: Tokenizer,
    said: Mapping[str, Any],
    kind: _Class,
    roles: Mapping[str, list[AddedToken | str]],
) -> None:
    """Let the class put bos and eos around texts, in place of what tokenizer.json would put there."""
    if kind.adds is None:
        return
    around: list[tuple[str, int] | None] = []
    for role, default in zip(("bos", "eos"), kind.adds, strict=True):
        content = str(roles[role][0]) if role in roles else None
        number = None if content is None else tokenizer.token_to_id(content)
        wanted = bool(said.get(f"add_{role}_token", default))
        around.append((content, number) if wanted and content and number is not None else None)
    bos, eos = around
    single = [*([f"{bos[0]}:0"] if bos else []), "$A:0", *([f"{eos[0]}:0"] if eos else [])]
    pair = [*single, *([f"{bos[0]}:1"] if bos else []), "$B:1", *([f"{eos[0]}:1"] if eos else [])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[end for end in around if end]
    )


def _tidy(text: str) -> str:
    for before, after in _TIDIED:
        text = text.replace(before, after)
    return text
