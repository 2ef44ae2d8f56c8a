"""What must hold in a vocabulary so that llama.cpp neither asserts nor throws on it.

llama.cpp 0c1e570, src/llama-vocab.cpp: two equal entries end the process (2544), as does a first, last or
separating token that is to be added and is not there (588, 597, 3443 to 3579); a missing byte token ends it
at the first text that needs it (4014). Entries are read as C strings: they end at a zero byte.
"""

from __future__ import annotations

from itertools import repeat
from operator import contains
from typing import TYPE_CHECKING

from localllm.gguf.header import MAX_KEPT_TOKENS
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.gguf.header import GgufHeader

MAX_VOCABULARY = MAX_KEPT_TOKENS  # the largest published one has 262,144
_TOKEN_IDS = ("bos", "eos", "eot", "eom", "unknown", "seperator", "separator", "padding", "cls", "mask")
_INT32 = 5
_KINDS = bytes(range(7))
_BYTES = tuple(f"<0x{byte:02X}>".encode() for byte in range(256))
# what each kind of tokenizer adds (begin, end, separator), and the ids it takes where the file has none
_ADDS = {
    "llama": ((True, False, False), (1, 2, None)),
    "bert": ((True, False, True), (101, None, 102)),
    "gpt2": ((False, False, False), (11, 11, None)),
    "t5": ((False, True, False), (None, 1, None)),
    "rwkv": ((False, False, False), (None, None, None)),
    "plamo2": ((False, False, False), (1, 2, None)),
}


def broken_vocabulary(header: GgufHeader) -> Iterator[Text]:
    """Yield the rules that a vocabulary breaks."""
    listed = header.arrays.get("tokenizer.ggml.tokens")
    if listed is not None and listed.count > MAX_VOCABULARY:
        sentence = "its vocabulary has {count} entries, more than {limit}"
        yield text(sentence, count=listed.count, limit=MAX_VOCABULARY)
        return
    tokens = header.strings("tokenizer.ggml.tokens")
    if not tokens:
        return
    tokens, known = _as_read(tokens)
    if len(known) < len(tokens):
        yield from _equal_tokens(tokens)
    for name in ("scores", "token_type"):
        array = header.arrays.get(f"tokenizer.ggml.{name}")
        if array is not None and array.count != len(tokens):
            yield text(
                "its vocabulary and its “{name}” differ in length: {count} and {other}",
                count=len(tokens),
                other=array.count,
                name=name,
            )
    yield from _bad_types(header)
    yield from _missing_bytes(header, known)
    yield from _bad_ids(header, len(tokens))


def _as_read(tokens: list[bytes]) -> tuple[list[bytes], set[bytes]]:
    """Return the entries as llama.cpp reads them: up to a zero byte, empty ones with a name of their own."""
    known = set(tokens)
    if b"" in known or any(map(contains, tokens, repeat(0))):
        cut = (token.partition(b"\0")[0] for token in tokens)
        tokens = [token or f"[EMPTY_{number}]".encode() for number, token in enumerate(cut)]
        known = set(tokens)
    return tokens, known


def _equal_tokens(tokens: list[bytes]) -> Iterator[Text]:
    seen: dict[bytes, int] = {}
    for number, token in enumerate(tokens):
        if token in seen:
            yield text(
                "it has two identical vocabulary entries (“{token}”, no. {first} and {second})",
                token=token.decode("utf-8", "replace")[:40],
                first=str(seen[token]),
                second=str(number),
            )
        seen.setdefault(token, number)


def _bad_types(header: GgufHeader) -> Iterator[Text]:
    """Yield a kind of token that does not exist; the kinds are 0 to 6."""
    kinds = header.raw("tokenizer.ggml.token_type", kind=_INT32)
    low, rest = kinds[::4], kinds[1::4] + kinds[2::4] + kinds[3::4]
    if low.translate(None, _KINDS) or rest.count(0) != len(rest):
        yield text("its vocabulary has entries of an unknown kind")


def _missing_bytes(header: GgufHeader, known: set[bytes]) -> Iterator[Text]:
    if _kind_of(header) in ("llama", "plamo2"):
        missing = next((byte for byte in _BYTES if byte not in known), None)
        if missing:
            yield text("its vocabulary lacks the byte “{byte}”", byte=missing.decode())
    if _kind_of(header) == "rwkv" and not known & {b"\n", b"\\n", b"\\x0a", b"\\x0A"}:
        yield text("its vocabulary lacks the end of a line")


def _bad_ids(header: GgufHeader, count: int) -> Iterator[Text]:
    for name in _TOKEN_IDS:
        number = header.metadata.get(f"tokenizer.ggml.{name}_token_id")
        absent = number == 0xFFFFFFFF and name != "eos"  # -1 stands for none
        if isinstance(number, int) and not absent and not 0 <= number < count:
            yield text(
                "its “{name}” token is no. {number} of {count}", name=name, number=str(number), count=count
            )
    adds, usual = _ADDS.get(_kind_of(header), ((False, False, False), (None, None, None)))
    flags, names = ("add_bos_token", "add_eos_token", "add_sep_token"), ("bos", "eos", "seperator")
    for flag, name, default, number in zip(flags, names, adds, usual, strict=True):
        wanted = header.metadata.get(f"tokenizer.ggml.{flag}", default)
        own = header.metadata.get(f"tokenizer.ggml.{name}_token_id")
        present = isinstance(own, int) and 0 <= own < count
        if wanted and not present and (number is None or number >= count):
            yield text("it wants a “{name}” token added and has none", name=name)


def _kind_of(header: GgufHeader) -> str:
    return str(header.metadata.get("tokenizer.ggml.model", "")).partition("\0")[0]
