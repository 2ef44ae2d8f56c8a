"""What must hold in a header so that llama.cpp neither asserts nor throws on it.

llama.cpp 0c1e570 ends the process on two equal vocabulary entries (llama-vocab.cpp:2544), on a missing
byte token at the first text that needs it, on a block count of 0 or above 512 (llama-model.cpp:1328),
and on a NaN epsilon at the first decode (ops.cpp:4132).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from localllm.gguf.header import MAX_KEPT_TOKENS, refuse
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.gguf.header import GgufHeader

MAX_BLOCKS = 512
MAX_VOCABULARY = MAX_KEPT_TOKENS  # the largest published one has 262,144
_TOKEN_IDS = ("bos", "eos", "eot", "eom", "unknown", "separator", "padding", "cls", "mask")


def check_header(header: GgufHeader) -> None:
    """Refuse a header that would stop the engine.

    Raises:
        BadModelFile: With the first rule that is broken.
    """
    for reason in _broken_rules(header):
        raise refuse(header.path, reason)


def _broken_rules(header: GgufHeader) -> Iterator[Text]:
    yield from _broken_dimensions(header)
    yield from _broken_numbers(header)
    yield from _broken_vocabulary(header)


def _broken_dimensions(header: GgufHeader) -> Iterator[Text]:
    if not header.architecture:
        yield text("it does not say which architecture it has")
    blocks = header.of_architecture("block_count")
    if blocks is not None and not (isinstance(blocks, int) and 1 <= blocks <= MAX_BLOCKS):
        yield text("it claims {count} layers; 1 to {limit} are possible", count=str(blocks), limit=MAX_BLOCKS)
    heads, width = header.of_architecture("attention.head_count"), header.of_architecture("embedding_length")
    if isinstance(heads, int) and isinstance(width, int) and heads > 0 and width <= 0:
        yield text("its embedding width is {width}", width=width)
    kv_heads = header.of_architecture("attention.head_count_kv")
    if isinstance(heads, int) and isinstance(kv_heads, int) and kv_heads > 0 and heads % kv_heads:
        yield text(
            "its {heads} heads cannot share {kv_heads} key-value heads", heads=heads, kv_heads=kv_heads
        )


def _broken_numbers(header: GgufHeader) -> Iterator[Text]:
    for key, value in header.metadata.items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            yield text("the number “{key}” is {value}", key=key[:100], value=str(value))
        if isinstance(value, float) and key.endswith("_epsilon") and value < 0:
            yield text("the number “{key}” is {value}", key=key[:100], value=str(value))


def _broken_vocabulary(header: GgufHeader) -> Iterator[Text]:
    listed = header.arrays.get("tokenizer.ggml.tokens")
    if listed is not None and listed.count > MAX_VOCABULARY:
        sentence = "its vocabulary has {count} entries, more than {limit}"
        yield text(sentence, count=listed.count, limit=MAX_VOCABULARY)
        return
    tokens = header.strings("tokenizer.ggml.tokens")
    if not tokens:
        return
    known = set(tokens)
    if len(known) < len(tokens):
        yield from _equal_tokens(tokens)
    for name in ("scores", "token_type"):
        array = header.arrays.get(f"tokenizer.ggml.{name}")
        if array is not None and array.count != len(tokens):
            yield text(
                "its vocabulary has {count} entries but {other} “{name}”",
                count=len(tokens),
                other=array.count,
                name=name,
            )
    if header.metadata.get("tokenizer.ggml.model") == "llama":
        missing = [f"<0x{byte:02X}>" for byte in range(256) if f"<0x{byte:02X}>".encode() not in known]
        if missing:
            yield text("its vocabulary lacks the byte “{byte}”", byte=missing[0])
    for name in _TOKEN_IDS:
        number = header.metadata.get(f"tokenizer.ggml.{name}_token_id")
        if isinstance(number, int) and number != 0xFFFFFFFF and not 0 <= number < len(tokens):
            yield text(
                "its “{name}” token is no. {number} of {count}", name=name, number=number, count=len(tokens)
            )


def _equal_tokens(tokens: list[bytes]) -> Iterator[Text]:
    seen: dict[bytes, int] = {}
    for number, token in enumerate(tokens):
        if token in seen:
            yield text(
                "it has two identical vocabulary entries (“{token}”, no. {first} and {second})",
                token=token.decode("utf-8", "replace")[:40],
                first=seen[token],
                second=number,
            )
        seen.setdefault(token, number)
