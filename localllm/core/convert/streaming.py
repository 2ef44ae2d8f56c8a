"""Write the tensors of a plan: read a piece, change its type, write it in its place; few bytes are held.

Pieces of half a megabyte stay in the processor's cache. What can only be computed whole is computed one at a
time, so that no more than one matrix is in memory.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from localllm.core.convert.casts import Encoder
from localllm.core.convert.changes import Stacked, parts_of
from localllm.core.convert.safetensors import Stored
from localllm.core.convert.tensors import Computed
from localllm.gguf.writer import offsets, write_all
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import FileIO
    from pathlib import Path

    from localllm.core.convert.plan import Planned
    from localllm.core.convert.safetensors import Shard
    from localllm.core.convert.tensors import Array, Tensor
    from localllm.progress import Progress

_PIECE = 512 << 10  # bytes read at once
_THREADS = 2


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of a weight of two dimensions or fewer, and where they go in the file."""

    number: int
    tensor: Tensor
    first: int
    last: int
    offset: int


@dataclass(slots=True)
class _State:
    """What the threads share.

    Attributes:
        left: Pieces of each tensor that are still to be written.
        readers: Tensors of each shard that are.
    """

    left: list[int]
    readers: dict[int, int]
    done: int = 0
    overflows: dict[str, int] = field(default_factory=dict[str, int])
    lock: threading.Lock = field(default_factory=threading.Lock)
    one_matrix: threading.Lock = field(default_factory=threading.Lock)


class _Tools(NamedTuple):
    """What each thread has for itself: the file, opened anew so that it can stand elsewhere, and buffers."""

    file: FileIO
    encoder: Encoder


class Streaming:
    """The writing of all tensors into a file that is there, from a place on."""

    def __init__(
        self,
        tensors: Sequence[Planned],
        path: Path,
        start: int,
        on_read: Callable[[Shard], None] | None = None,
    ) -> None:
        """Prepare; `on_read` is told each shard that nothing needs any more."""
        self._tensors = tensors
        self._path = path
        self._places = [start + offset for offset in offsets([planned.place for planned in tensors])]
        self._shards = [_shards_of(planned.tensor) for planned in tensors]
        self._on_read = on_read
        self._total = sum(planned.place.size for planned in tensors)
        readers: dict[int, int] = {}
        for shards in self._shards:
            for number in shards:
                readers[number] = readers.get(number, 0) + 1
        self._state = _State([0] * len(tensors), readers)

    def run(self, progress: Progress) -> dict[str, int]:
        """Write everything; return how many values became infinite, by tensor.

        Raises:
            CheckpointRefused: A shard cannot be read.
            OSError: The disk is full, or another fault of it.
            Cancelled: The progress was cancelled.
        """
        pieces = self._pieces()
        taking, stop = threading.Lock(), threading.Event()

        def work() -> None:
            try:
                with self._path.open("r+b", buffering=0) as file:
                    tools = _Tools(file, Encoder())
                    while not stop.is_set():
                        with taking:
                            piece = next(pieces, None)
                        if piece is None:
                            return
                        self._write(piece, tools, progress)
            except BaseException:
                stop.set()
                raise

        with ThreadPoolExecutor(_THREADS, thread_name_prefix="convert") as pool:
            for future in [pool.submit(work) for _ in range(_THREADS)]:
                future.result()
        return self._state.overflows

    def _pieces(self) -> Iterator[_Piece]:
        for number, planned in enumerate(self._tensors):
            mine = list(_pieces_of(number, planned.tensor, self._places[number], planned.place.size))
            self._state.left[number] = len(mine)
            if not mine:
                self._finish(number)
            yield from mine

    def _write(self, piece: _Piece, tools: _Tools, progress: Progress) -> None:
        planned = self._tensors[piece.number]
        note = text("{name}", name=planned.place.name)
        progress.update(self._state.done, self._total, note)
        tensor = piece.tensor
        if isinstance(tensor, Computed) and tensor.whole:
            with self._state.one_matrix:
                self._encode(planned, tensor.read(), tensor.dtype, piece.offset, tools)
        else:
            values = tensor.read(piece.first, piece.last)
            self._encode(planned, values, tensor.dtype, piece.offset, tools)
        with self._state.lock:
            self._state.left[piece.number] -= 1
            finished = not self._state.left[piece.number]
        if finished:
            self._finish(piece.number)

    def _encode(self, planned: Planned, values: Array, dtype: str, offset: int, tools: _Tools) -> None:
        before, written = tools.encoder.overflowed, 0
        tools.file.seek(offset)
        for data in tools.encoder.encode(values, dtype, planned.place.type_name):
            write_all(tools.file, data.data)
            written += data.nbytes
        overflows, name = tools.encoder.overflowed - before, planned.place.name
        with self._state.lock:
            self._state.done += written
            if overflows:
                self._state.overflows[name] = self._state.overflows.get(name, 0) + overflows

    def _finish(self, number: int) -> None:
        for key, shard in self._shards[number].items():
            with self._state.lock:
                self._state.readers[key] -= 1
                last = not self._state.readers[key]
            if last:
                shard.close()
                if self._on_read:
                    self._on_read(shard)


def _pieces_of(number: int, tensor: Tensor, offset: int, size: int) -> Iterator[_Piece]:
    if len(tensor.shape) > 2 and tensor.dtype != "MXFP4":
        parts = _flat(tensor) if isinstance(tensor, Stored) else parts_of(tensor)
        step = size // max(len(parts), 1)
        for index, part in enumerate(parts):
            yield from _pieces_of(number, part, offset + index * step, step)
        return
    rows = tensor.shape[0] if tensor.shape else 1
    if isinstance(tensor, Computed) and tensor.whole:
        yield _Piece(number, tensor, 0, rows, offset)
        return
    step = _rows_of_piece(tensor)
    row_size = size // max(rows, 1)
    for first in range(0, rows, step):
        yield _Piece(number, tensor, first, min(first + step, rows), offset + first * row_size)


def _flat(tensor: Stored) -> list[Tensor]:
    columns = tensor.shape[-1]
    flat = (prod(tensor.shape[:-1]), columns)
    return [Stored(tensor.name, flat, tensor.dtype, tensor.shard, tensor.offset)]


def _rows_of_piece(tensor: Tensor) -> int:
    columns = prod(tensor.shape[1:])
    return max(1, _PIECE // max(1, columns * _BYTES.get(tensor.dtype, 4)))


_BYTES = {"F16": 2, "BF16": 2, "F8_E4M3": 1, "U8": 1, "I8": 1, "F64": 8, "I64": 8, "MXFP4": 1}


def _shards_of(tensor: Tensor) -> dict[int, Shard]:
    if isinstance(tensor, Stored):
        return {id(tensor.shard): tensor.shard}
    sources = tensor.parts if isinstance(tensor, Stacked) else getattr(tensor, "sources", ())
    return dict(itertools.chain.from_iterable(_shards_of(source).items() for source in sources))
