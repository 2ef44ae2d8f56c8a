"""What must hold in a header so that llama.cpp neither asserts nor throws on it.

llama.cpp 0c1e570 ends the process on a block count of 0 or above 512, on numbers of experts that do not
agree and on an unknown position scaling (llama-model.cpp:1328 to 1420), and on a NaN epsilon at the first
decode (ops.cpp:4132).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from localllm.gguf.header import refuse
from localllm.gguf.plausible import implausible
from localllm.gguf.vocabulary import broken_vocabulary
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.gguf.header import GgufHeader, Value

MAX_BLOCKS = 512
MAX_EXPERTS = 1024
MAX_SPLITS = 999  # files of one model
_ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")


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
    yield from _broken_experts(header)
    yield from implausible(header)
    yield from broken_vocabulary(header)


def _broken_dimensions(header: GgufHeader) -> Iterator[Text]:
    if not (header.architecture or header.is_further_part) or "\0" in header.architecture:
        yield text("it does not say which architecture it has")
    blocks = header.of_architecture("block_count")
    if blocks is not None and not (isinstance(blocks, int) and 1 <= blocks <= MAX_BLOCKS):
        yield text("it claims {count} layers; 1 to {limit} are possible", count=str(blocks), limit=MAX_BLOCKS)
    ahead = header.of_architecture("nextn_predict_layers")
    if isinstance(ahead, int) and isinstance(blocks, int) and ahead > blocks:
        yield text("it claims {count} layers that look ahead, of {limit}", count=ahead, limit=blocks)
    parts, part = header.metadata.get("split.count"), header.metadata.get("split.no")
    if isinstance(parts, int) and parts > MAX_SPLITS:
        yield text("it claims {count} parts, more than {limit}", count=parts, limit=MAX_SPLITS)
    if isinstance(parts, int) and isinstance(part, int) and part >= max(parts, 1):
        yield text("it claims to be part {number} of {count}", number=part + 1, count=parts)
    heads, width = header.of_architecture("attention.head_count"), header.of_architecture("embedding_length")
    if isinstance(heads, int) and isinstance(width, int) and heads > 0 and width <= 0:
        yield text("its embedding width is {width}", width=width)
    kv_heads = header.of_architecture("attention.head_count_kv")
    if isinstance(heads, int) and isinstance(kv_heads, int) and kv_heads > 0 and heads % kv_heads:
        yield text(
            "key-value heads ({kv_heads}) cannot be shared by its heads ({heads})",
            heads=heads,
            kv_heads=kv_heads,
        )


def _broken_experts(header: GgufHeader) -> Iterator[Text]:
    count, used, groups, groups_used = (
        _largest(header.of_architecture(key))
        for key in ("expert_count", "expert_used_count", "expert_group_count", "expert_group_used_count")
    )
    if count > MAX_EXPERTS:
        yield text("it claims {count} experts, more than {limit}", count=count, limit=MAX_EXPERTS)
    if used > count or (count and not used):
        yield text("it claims to use {used} of {count} experts", used=used, count=count)
    if groups > 1 and (groups >= count or count % groups or not 0 < groups_used < groups):
        yield text("its experts ({count}) cannot form {groups} groups", count=count, groups=groups)
    if groups and groups >= count:
        yield text("its experts ({count}) cannot form {groups} groups", count=count, groups=groups)


def _largest(value: Value | None) -> int:
    numbers = value if isinstance(value, list) else [value]
    return max((number for number in numbers if isinstance(number, int)), default=0)


def _broken_numbers(header: GgufHeader) -> Iterator[Text]:
    for key, value in header.metadata.items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            yield text("the number “{key}” is {value}", key=key[:100], value=str(value)[:40])
        if isinstance(value, float) and key.endswith("_epsilon") and value < 0:
            yield text("the number “{key}” is {value}", key=key[:100], value=str(value))
    scaling = header.of_architecture("rope.scaling.type")
    if isinstance(scaling, str) and scaling.partition("\0")[0] not in _ROPE_SCALINGS:
        yield text("its position scaling is of the unknown type “{type}”", type=scaling[:40])
