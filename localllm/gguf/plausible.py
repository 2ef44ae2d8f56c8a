"""What must hold between a header's numbers and its tensors for it to describe a model at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.gguf.header import GgufHeader

MAX_CONTEXT = 1 << 30  # tokens; the longest published is 10,485,760
MAX_WIDTH = 1 << 20  # elements; the widest published is 18,432
MAX_ROTATED = 1 << 16
_ROTATE_ALL = ("llama", "llama-embed", "deci", "falcon")  # llama-model.cpp: "invalid n_rot"
_NEEDS = (
    ("attention.head_count", (".attn_q.weight", ".attn_qkv.weight"), "attention heads"),
    ("attention.head_count_kv", (".attn_k.weight",), "key-value heads"),
    ("feed_forward_length", (".ffn_up.weight", ".ffn_down.weight"), "feed-forward elements"),
)


def implausible(header: GgufHeader) -> Iterator[Text]:
    """Yield what cannot be, in one sentence each."""
    context = header.of_architecture("context_length")
    if isinstance(context, int) and not 0 < context <= MAX_CONTEXT:
        yield text(
            "its context length is {count}; 1 to {limit} are possible", count=context, limit=MAX_CONTEXT
        )
    width = header.of_architecture("embedding_length")
    if isinstance(width, int) and width > MAX_WIDTH:
        yield text("its embedding width is {width}, more than {limit}", width=width, limit=MAX_WIDTH)
    first = [tensor.name for tensor in header.tensors if tensor.name.startswith("blk.0.")]
    for key, tensors, what in _NEEDS:
        if header.of_architecture(key) == 0 and any(name.endswith(tensors) for name in first):
            yield text("it claims 0 {what} and has weights for them", what=text(what))
    yield from _bad_rotation(header)
    yield from _bad_vocabulary_size(header)


def _bad_rotation(header: GgufHeader) -> Iterator[Text]:
    base, rotated = (header.of_architecture(f"rope.{key}") for key in ("freq_base", "dimension_count"))
    if isinstance(base, float) and base <= 0:
        yield text("its rotation base is {value}", value=str(base))
    if not isinstance(rotated, int):
        return
    width, heads, length = (
        header.of_architecture(key)
        for key in ("embedding_length", "attention.head_count", "attention.key_length")
    )
    if not isinstance(length, int):
        length = width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None
    limit = length if header.architecture in _ROTATE_ALL else None
    if rotated > MAX_ROTATED or (limit is not None and rotated != limit):
        sentence = "it rotates {count} elements of a head that has {limit}"
        yield text(sentence, count=rotated, limit=limit or MAX_ROTATED)


def _bad_vocabulary_size(header: GgufHeader) -> Iterator[Text]:
    claimed = header.of_architecture("vocab_size")
    if isinstance(claimed, int) and claimed < len(header.tokens) // 2:
        sentence = "it claims {count} vocabulary entries and has {other}"
        yield text(sentence, count=claimed, other=len(header.tokens))
