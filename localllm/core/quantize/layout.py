"""The exact length of a result: llama.cpp copies the source's keys, sets a few, and aligns tensors to 32.

llama.cpp 0c1e570: src/llama-quant.cpp and ggml/src/gguf.cpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from localllm.core.quantize.source import SourceModel
    from localllm.core.quantize.tensors import PlannedTensor
    from localllm.engine.protocol import Quantize
    from localllm.gguf import GgufHeader

_ALIGNMENT = 32
_PREAMBLE = 24
_MOST_TEXT = 127
_WIDTHS = {"split.no": 2, "split.count": 2, "split.tensors.count": 4}


def result_size(source: SourceModel, settings: Quantize, tensors: Sequence[PlannedTensor]) -> int:
    """Return the bytes of the file, or of all files together."""
    first = _keys_length(source.header, settings)
    if not settings.keep_split:
        return _file_size(first, tensors)
    split = sum(_pair(name, width) for name, width in _WIDTHS.items())
    total = 0
    for part in range(len(source.headers)):
        own = [tensor for tensor in tensors if tensor.part == part]
        total += _file_size(_PREAMBLE + split if part else first + split, own)
    return total


def _keys_length(header: GgufHeader, settings: Quantize) -> int:
    """Return where the keys of a result end."""
    length = header.pairs_end
    length -= sum(_pair(name, width) for name, width in _WIDTHS.items() if name in header.metadata)
    for name, size in _set_keys(header, settings):
        old = header.metadata.get(name)
        if old is not None:
            length -= _pair(name, 8 + len(old.encode()) if isinstance(old, str) else 4)
        length += _pair(name, size)
    return length


def _set_keys(header: GgufHeader, settings: Quantize) -> Iterator[tuple[str, int]]:
    yield "general.quantization_version", 4
    yield "general.file_type", 4
    if settings.prune_layers:
        yield f"{header.architecture}.block_count", 4
    if settings.alignment:
        yield "general.alignment", 4
    data = settings.importance
    if data is None:
        return
    yield "quantize.imatrix.file", _text_width(data.file)
    if data.dataset:
        yield "quantize.imatrix.dataset", _text_width(data.dataset)
    yield "quantize.imatrix.entries_count", 4
    if data.chunks > 0:
        yield "quantize.imatrix.chunks_count", 4


def _file_size(keys_end: int, tensors: Sequence[PlannedTensor]) -> int:
    length = keys_end
    for tensor in tensors:
        length += 8 + len(tensor.name.encode()) + 4 + 8 * _dimensions(tensor.shape) + 4 + 8
    return _padded(length) + sum(_padded(tensor.size) for tensor in tensors)


def _dimensions(shape: tuple[int, ...]) -> int:
    """Return how many dimensions ggml counts: trailing ones are none."""
    count = len(shape)
    while count > 1 and shape[count - 1] == 1:
        count -= 1
    return count


def _pair(name: str, width: int) -> int:
    return 8 + len(name.encode()) + 4 + width


def _text_width(words: str) -> int:
    return 8 + min(len(words.encode()), _MOST_TEXT)


def _padded(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
