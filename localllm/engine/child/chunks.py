"""Reads a text chunk by chunk, each from an empty cache, as llama-perplexity and llama-imatrix do."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from localllm.engine.child.model import (
    ContextUse,
    context_error,
    load_weights,
    open_context,
    require_vocabulary,
)
from localllm.engine.child.native import llama
from localllm.errors import Cancelled, EngineError, UsageError
from localllm.gguf import check_header, read_header
from localllm.texts import plural, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from localllm.engine.child.model import StopFlag
    from localllm.engine.child.native import NativeLog
    from localllm.engine.passes import TextPass
    from localllm.engine.protocol import LoadSettings

_ABORTED = 2


class ChunkReader:
    """A loaded model that reads chunks of tokens.

    Raises:
        EngineError, BadModelFile: llama.cpp refused the file, or the model does not write text.
        Cancelled: `stop` was set.
    """

    def __init__(
        self,
        path: Path,
        settings: LoadSettings,
        log: NativeLog,
        stop: StopFlag,
        on_progress: Callable[[float], None],
    ) -> None:
        check_header(read_header(path))
        self._settings, self._log, self._stop = settings, log, stop
        self._context: Any = None
        self._batch: Any = None
        self.model = load_weights(path, settings, log, stop, on_progress)
        self.vocab: Any = llama.llama_model_get_vocab(self.model)
        try:
            require_vocabulary(self.vocab, path)
            _require_decoder(self.model, self.vocab, path)
        except BaseException:
            self.close()
            raise
        self.vocabulary: int = llama.llama_vocab_n_tokens(self.vocab)
        self._chunk_tokens = self._first = 0

    def cut(self, wanted: TextPass) -> NDArray[np.int32]:
        """Return all chunks of tokens that a text has, one a row; what is left over at its end is dropped.

        Raises:
            UsageError: It is shorter than two chunks.
        """
        tokens = self.tokenize(wanted.text)
        length = wanted.chunk_tokens
        if len(tokens) < 2 * length:
            raise UsageError(
                plural(
                    len(tokens),
                    "The text is too short: it has one token.",
                    "The text is too short: it has {count} tokens.",
                ),
                hint=text("Take one of at least {need} tokens, about two pages.", need=2 * length),
            )
        return tokens[: len(tokens) // length * length].reshape(-1, length)

    def tokenize(self, content: str) -> NDArray[np.int32]:
        """Turn a text into tokens: BOS added where it is wanted, control tokens not recognised."""
        encoded = content.encode()
        size = len(encoded) + 8
        tokens = np.empty(size, np.int32)
        place = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        count = llama.llama_tokenize(self.vocab, encoded, len(encoded), place, size, True, False)  # noqa: FBT003
        if count < 0:
            raise EngineError(text("The text could not be turned into tokens."))
        return tokens[:count]

    def open(self, chunk_tokens: int, *, first: int = 0, sequences: int = 1, observer: Any = None) -> None:
        """Make the context.

        Args:
            chunk_tokens: Length of a chunk.
            first: Logits are computed from this position of each chunk on.
            sequences: Chunks that are read together.
            observer: llama.cpp's callback for what its graph computes.
        """
        self._chunk_tokens, self._first = chunk_tokens, first
        self._context = open_context(
            self.model,
            replace(self._settings, context_length=sequences * chunk_tokens, batch=sequences * chunk_tokens),
            self._log,
            self._stop,
            ContextUse(sequences * (chunk_tokens - first), sequences, observer),
        )
        self._batch = llama.llama_batch_init(sequences * chunk_tokens, 0, 1)

    def read(self, chunks: NDArray[np.int32]) -> None:
        """Read some chunks, as many as there are sequences at most.

        Raises:
            EngineError: llama.cpp failed.
            Cancelled: `stop` was set.
        """
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)  # noqa: FBT003 - C signature
        tokens = chunks.copy()
        if llama.llama_vocab_get_add_bos(self.vocab):
            tokens[:, 0] = llama.llama_vocab_bos(self.vocab)
        self._fill(tokens)
        code = llama.llama_decode(self._context, self._batch)
        if code == _ABORTED or self._stop.is_set:
            raise Cancelled
        if code != 0:
            raise context_error(self._log.errors())
        llama.llama_synchronize(self._context)

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the last chunk, [positions, vocabulary]; valid until the next is read.

        Raises:
            EngineError: The model predicts no tokens.
        """
        rows = self._chunk_tokens - self._first
        pointer = llama.llama_get_logits_ith(self._context, self._first)
        if not pointer:
            raise EngineError(text("This model predicts no tokens: there is nothing to measure."))
        return np.ctypeslib.as_array(pointer, (rows, self.vocabulary))

    def _fill(self, tokens: NDArray[np.int32]) -> None:
        count, batch = tokens.size, self._batch
        batch.n_tokens = count
        positions = np.tile(np.arange(tokens.shape[1], dtype=np.int32), len(tokens))
        _as_array(batch.token, count)[:] = tokens.ravel()
        _as_array(batch.pos, count)[:] = positions
        _as_array(batch.n_seq_id, count)[:] = 1
        _as_array(batch.logits, count)[:] = positions >= self._first
        for place in range(count):
            batch.seq_id[place][0] = place // tokens.shape[1]

    def close(self) -> None:
        """Give all memory back."""
        if self._batch is not None:
            llama.llama_batch_free(self._batch)
            self._batch = None
        if self._context:
            llama.llama_free(self._context)
            self._context = None
        if self.model:
            llama.llama_model_free(self.model)
            self.model = None


def _as_array(pointer: Any, count: int) -> NDArray[Any]:
    return np.ctypeslib.as_array(pointer, (count,))


def _require_decoder(model: Any, vocab: Any, path: Path) -> None:
    if llama.llama_model_has_encoder(model) or not llama.llama_model_has_decoder(model):
        raise EngineError(
            text("“{name}” does not write text: its predictions cannot be measured.", name=path.name)
        )
    if llama.llama_vocab_get_add_eos(vocab):
        raise EngineError(
            text("“{name}” ends every text by itself: its predictions cannot be measured.", name=path.name)
        )
