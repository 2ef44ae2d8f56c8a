"""Lets a model write a text by itself: documents begun from nothing, several at a time, drawn with a seed."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from localllm.engine.child.model import ContextUse, context_error, open_context
from localllm.engine.child.native import llama
from localllm.engine.child.sampling import SamplerChain
from localllm.engine.passes import OwnText
from localllm.engine.protocol import Sampling
from localllm.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.engine.child.chunks import ChunkReader
    from localllm.engine.child.model import StopFlag
    from localllm.engine.child.native import NativeLog
    from localllm.engine.protocol import LoadSettings

_AT_ONCE = 8  # documents: read together they cost little more than one
_LONGEST = 512  # tokens of a document
_SEPARATOR = b"\n\n"


class OwnTextWriter:
    """Writes with a loaded model; `close` gives its context back."""

    def __init__(
        self, reader: ChunkReader, settings: LoadSettings, log: NativeLog, stop: StopFlag, seed: int
    ) -> None:
        self._vocab, self._log, self._stop = reader.vocab, log, stop
        self._context = open_context(reader.model, settings, log, stop, ContextUse(_AT_ONCE, _AT_ONCE))
        self._memory = llama.llama_get_memory(self._context)
        self._batch: Any = llama.llama_batch_init(_AT_ONCE, 0, 1)
        self._samplers = [
            SamplerChain(_drawn(seed + number), reader.vocabulary) for number in range(_AT_ONCE)
        ]
        self._start = _first_token(self._vocab, reader)

    def write(self, tokens: int) -> Iterator[OwnText]:
        """Write about so many tokens; the last that is yielded has the text.

        Raises:
            EngineError: llama.cpp failed.
            Cancelled: The stop flag was set.
        """
        texts = [bytearray() for _ in range(_AT_ONCE)]
        finished: list[bytes] = []
        newest, lengths, done = [self._start] * _AT_ONCE, [0] * _AT_ONCE, 0
        while done < tokens:
            self._read(newest, lengths)
            for place in range(_AT_ONCE):
                token = llama.llama_sampler_sample(self._samplers[place].handle, self._context, place)
                ended = llama.llama_vocab_is_eog(self._vocab, token)
                if not ended:
                    texts[place] += _piece(self._vocab, token)
                    done += 1
                newest[place], lengths[place] = token, lengths[place] + 1
                if ended or lengths[place] >= _LONGEST:
                    finished.append(bytes(texts[place]))
                    texts[place].clear()
                    newest[place], lengths[place] = self._start, 0
                    llama.llama_memory_seq_rm(self._memory, place, -1, -1)
            yield OwnText(min(done, tokens), tokens)
        parts = [part for part in (*finished, *map(bytes, texts)) if part.strip()]
        yield OwnText(tokens, tokens, _SEPARATOR.join(parts).decode("utf-8", "replace"))

    def _read(self, newest: list[int], lengths: list[int]) -> None:
        batch = self._batch
        batch.n_tokens = _AT_ONCE
        for place in range(_AT_ONCE):
            batch.token[place], batch.pos[place] = newest[place], lengths[place]
            batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, place, 1
        code = llama.llama_decode(self._context, batch)
        if self._stop.is_set:
            raise Cancelled
        if code != 0:
            raise context_error(self._log.errors())

    def close(self) -> None:
        """Give its memory back."""
        for sampler in self._samplers:
            sampler.free()
        llama.llama_batch_free(self._batch)
        llama.llama_free(self._context)


def context_tokens() -> int:
    """Return the tokens of the context that writing takes."""
    return _AT_ONCE * (_LONGEST + 1)


def _drawn(seed: int) -> Sampling:
    return Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.05, seed=seed & 0x7FFFFFFF)


def _first_token(vocab: Any, reader: ChunkReader) -> int:
    """Return what a document begins with: the token for it, or an empty line."""
    for token in (llama.llama_vocab_bos(vocab), llama.llama_vocab_eos(vocab)):
        if token >= 0:
            return token
    return int(reader.tokenize("\n")[-1])


def _piece(vocab: Any, token: int) -> bytes:
    buffer = ctypes.create_string_buffer(256)
    length = llama.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, False)  # noqa: FBT003
    if length < 0:
        buffer = ctypes.create_string_buffer(-length)
        length = llama.llama_token_to_piece(vocab, token, buffer, -length, 0, False)  # noqa: FBT003
    return buffer.raw[: max(0, length)]
