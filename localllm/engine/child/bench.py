"""Measures a model as llama-bench does: random tokens, no tokenizer, no sampling.

llama.cpp 0c1e570, tools/llama-bench/llama-bench.cpp: a context of its own for each test, a warm-up, then
each repetition from an empty cache, or from one that is filled to `depth`; the clock runs from the first
`llama_decode` to `llama_synchronize`. Several sequences at a time: tools/batched-bench.
"""

from __future__ import annotations

import ctypes
import dataclasses
import random
import time
from typing import TYPE_CHECKING, Any, Protocol

from localllm.engine.child.bench_parameters import BenchParameters
from localllm.engine.child.buffers import read_buffers
from localllm.engine.child.model import (
    MOST_TOKENS,
    ContextUse,
    context_error,
    load_weights,
    open_context,
)
from localllm.engine.child.native import llama
from localllm.engine.child.resident import forget_peak, read_peak
from localllm.engine.child.thread_pool import MOST_THREADS, ThreadPool
from localllm.engine.protocol import BenchReport, error_to_record, to_record
from localllm.errors import Cancelled, EngineError
from localllm.gguf import read_header
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localllm.engine.benches import BenchSettings
    from localllm.engine.child.model import StopFlag
    from localllm.engine.child.native import NativeLog
    from localllm.engine.protocol import BenchTest

_SEED = 1  # the same tokens each time
_ABORTED = 2
_POSITIONS = "position_embd.weight"
_REST_STEP = 0.1  # seconds after which a stop is looked for


class Send(Protocol):
    """Tells the parent of an event."""

    def __call__(self, event: str, **values: Any) -> None:
        """Send it."""
        ...


class Bench:
    """One model loaded for measuring; it needs no vocabulary.

    Raises:
        EngineError, BadModelFile: llama.cpp refused the file or the settings.
        Cancelled: `stop` was set.
    """

    def __init__(
        self,
        path: Path,
        settings: BenchSettings,
        log: NativeLog,
        stop: StopFlag,
        on_progress: Callable[[float], None],
    ) -> None:
        self.settings, self._log, self._stop = settings, log, stop
        self._began = time.monotonic()
        self._positions = _learned_positions(path)
        self._parameters = BenchParameters(settings)
        self._parameters.set_process()
        started = time.perf_counter()
        self._model = load_weights(path, settings, log, stop, on_progress, self._parameters.set_weights)
        self._load_ms = (time.perf_counter() - started) * 1000
        self._vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))

    def run(self, tests: Sequence[BenchTest], send: Send) -> None:
        """Run tests one after the other; one that the settings do not allow is left out.

        Raises:
            EngineError: The model does not say how many tokens it knows.
            Cancelled: `stop` was set.
        """
        if self._vocabulary < 1:
            raise EngineError(text("This file does not say how many tokens its model knows."))
        send("opened", report=to_record(self._report()))
        for number, test in enumerate(tests):
            self._rest()
            send("started", test=number)
            try:
                self._run(number, test, send)
            except EngineError as error:
                send("refused", test=number, error=error_to_record(error))

    def _rest(self) -> None:
        """Let the processor cool off."""
        end = time.monotonic() + self.settings.delay
        while (left := end - time.monotonic()) > 0:
            if self._stop.is_set:
                raise Cancelled
            time.sleep(min(left, _REST_STEP))

    def _run(self, number: int, test: BenchTest, send: Send) -> None:
        forget_peak()
        run = _Run(self, test, self._open(test))
        try:
            buffers = read_buffers(self._model, run.context, self._log, embeddings=self.settings.embeddings)
            if self.settings.warm_up:
                run.warm_up()
            for _ in range(test.repetitions):
                nanoseconds = run.repeat()
                send("sample", test=number, nanoseconds=nanoseconds)
                if test.until and time.monotonic() - self._began + nanoseconds / 1e9 > test.until:
                    break
        finally:
            run.close()
        send("ended", test=number, buffers=[to_record(one) for one in buffers], peak_memory=read_peak())

    def _open(self, test: BenchTest) -> Any:
        tokens = (test.depth + test.prompt_tokens + test.generated_tokens) * test.sequences
        if tokens > MOST_TOKENS:
            raise EngineError(text("The engine holds {most} tokens at most.", most=MOST_TOKENS))
        if self._positions and tokens // test.sequences > self._positions:
            raise EngineError(text("This model reads {most} tokens at most.", most=self._positions))
        if self.settings.threads > MOST_THREADS:
            raise EngineError(text("At most so many threads are possible: {most}.", most=MOST_THREADS))
        settings = dataclasses.replace(self.settings, context_length=tokens)
        use = ContextUse(test.sequences, test.sequences, adjust=self._parameters.set_context)
        context = open_context(self._model, settings, self._log, self._stop, use)
        if llama.llama_get_memory(context):
            return context
        llama.llama_free(context)
        self._require_one_piece(test)
        use = dataclasses.replace(use, outputs=0)  # such a model puts out every token
        return open_context(self._model, settings, self._log, self._stop, use)

    def _require_one_piece(self, test: BenchTest) -> None:
        """Refuse what a model without a cache, which embeds texts, cannot read at once: it would end us."""
        piece = min(self.settings.batch, max(test.prompt_tokens, test.depth))
        if piece > min(self.settings.ubatch, self.settings.batch):
            raise EngineError(
                text(
                    "This model reads a text in one piece: it needs a physical batch of {tokens} tokens.",
                    tokens=piece,
                )
            )

    def _report(self) -> BenchReport:
        buffer = ctypes.create_string_buffer(128)
        llama.llama_model_desc(self._model, buffer, len(buffer))
        return BenchReport(
            description=buffer.value.decode("utf-8", "replace"),
            parameters=llama.llama_model_n_params(self._model),
            size=llama.llama_model_size(self._model),
            layers=llama.llama_model_n_layer(self._model),
            load_ms=self._load_ms,
        )

    def random_tokens(self, count: int) -> list[int]:
        """Return tokens of the vocabulary; their values do not matter for the speed."""
        return random.Random(_SEED).choices(range(self._vocabulary), k=count)  # noqa: S311

    def check(self, code: int) -> None:
        """Raise what a result of llama_decode other than 0 means."""
        if code == _ABORTED or self._stop.is_set:
            raise Cancelled
        if code != 0:
            raise context_error(self._log.errors())

    def close(self) -> None:
        """Give the model's memory back."""
        llama.llama_model_free(self._model)


def _learned_positions(path: Path) -> int:
    """Return how many tokens a model has learned places for; one more ends the process. 0 = any number."""
    table = next((one for one in read_header(path).tensors if one.name == _POSITIONS), None)
    return table.shape[-1] if table else 0


class _Run:
    """One test on a context of its own."""

    def __init__(self, bench: Bench, test: BenchTest, context: Any) -> None:
        self._bench, self._test, self.context = bench, test, context
        self._memory = llama.llama_get_memory(context)
        self._pool = ThreadPool(bench.settings, context)
        longest = max(test.prompt_tokens, test.depth)  # of what is given at once
        self._batch = llama.llama_batch_init(max(min(bench.settings.batch, longest), test.sequences), 0, 1)
        self._filled = 0
        size = bench.settings.batch
        self._prompts = {count: self._cut_up(count, size) for count in (test.prompt_tokens, test.depth)}
        self._written = bench.random_tokens(test.generated_tokens)
        self._token = (ctypes.c_int32 * 1)()
        self._step = llama.llama_batch_get_one(self._token, 1)

    def _cut_up(self, count: int, size: int) -> list[Any]:
        """Return random tokens in arrays of a logical batch, made before the clock runs."""
        tokens = self._bench.random_tokens(count)
        parts = (tokens[start : start + size] for start in range(0, count, size))
        return [(ctypes.c_int32 * len(part))(*part) for part in parts]

    def warm_up(self) -> None:
        if self._test.prompt_tokens:
            self._read(self._test.prompt_tokens)
        if self._test.generated_tokens:
            self._generate(1, self._test.prompt_tokens)
        self._clear()

    def repeat(self) -> int:
        """Return the nanoseconds of one repetition."""
        test = self._test
        self._fill(test.depth)
        started = time.perf_counter_ns()
        if test.prompt_tokens:
            self._read(test.prompt_tokens, test.depth)
        if test.generated_tokens:
            self._generate(test.generated_tokens, test.depth + test.prompt_tokens)
        return time.perf_counter_ns() - started

    def _fill(self, depth: int) -> None:
        """Leave `depth` tokens in the cache; those of the repetition before are used again."""
        kept = self._filled == depth > 0
        if not (kept and all(self._cut(sequence, depth) for sequence in range(self._test.sequences))):
            self._clear()
            self._read(depth)
            self._filled = depth

    def _cut(self, sequence: int, depth: int) -> bool:
        return bool(llama.llama_memory_seq_rm(self._memory, sequence, depth, -1))

    def _clear(self) -> None:
        llama.llama_memory_clear(self._memory, False)  # noqa: FBT003 - C signature

    def _read(self, count: int, position: int = 0) -> None:
        for sequence in range(self._test.sequences):
            start = position
            for tokens in self._prompts[count]:
                self._decode(tokens, start, sequence)
                start += len(tokens)
        llama.llama_synchronize(self.context)

    def _generate(self, count: int, position: int = 0) -> None:
        if self._test.sequences == 1:
            self._generate_alone(count)
            return
        for number, token in enumerate(self._written[:count], position):
            self._decode_together(token, number)
            llama.llama_synchronize(self.context)

    def _generate_alone(self, count: int) -> None:
        """Write after what is in the cache; between two tokens nothing is done that llama-bench does not."""
        decode, synchronize, context = llama.llama_decode, llama.llama_synchronize, self.context
        place, step = self._token, self._step
        for token in self._written[:count]:
            place[0] = token
            if code := decode(context, step):
                self._bench.check(code)
            synchronize(context)

    def _decode(self, tokens: Any, position: int, sequence: int = 0) -> None:
        if self._test.sequences == 1:
            self._bench.check(
                llama.llama_decode(self.context, llama.llama_batch_get_one(tokens, len(tokens)))
            )
            return
        for index, token in enumerate(tokens):
            self._put(index, token, position + index, sequence, wanted=index == len(tokens) - 1)
        self._send(len(tokens))

    def _decode_together(self, token: int, position: int) -> None:
        """Give every sequence its next token."""
        for sequence in range(self._test.sequences):
            self._put(sequence, token, position, sequence, wanted=True)
        self._send(self._test.sequences)

    def _put(self, index: int, token: int, position: int, sequence: int, *, wanted: bool) -> None:
        batch = self._batch
        batch.token[index], batch.pos[index] = token, position
        batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
        batch.logits[index] = wanted

    def _send(self, count: int) -> None:
        self._batch.n_tokens = count
        self._bench.check(llama.llama_decode(self.context, self._batch))

    def close(self) -> None:
        llama.llama_batch_free(self._batch)
        llama.llama_free(self.context)
        self._pool.close()
