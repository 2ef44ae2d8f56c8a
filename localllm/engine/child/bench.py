"""Measures a model as llama-bench does: random tokens, no tokenizer, no sampling.

llama.cpp 0c1e570, tools/llama-bench/llama-bench.cpp: a context of its own for each test, a warm-up, then
each repetition from an empty cache, or from one that is filled to `depth`; the clock runs from the first
`llama_decode` to `llama_synchronize`.
"""

from __future__ import annotations

import ctypes
import dataclasses
import random
import time
from typing import TYPE_CHECKING, Any

from localllm.engine.child.model import context_error, load_weights, open_context
from localllm.engine.child.native import llama
from localllm.engine.protocol import BenchReport
from localllm.errors import Cancelled, EngineError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localllm.engine.child.model import StopFlag
    from localllm.engine.child.native import NativeLog
    from localllm.engine.protocol import BenchTest, LoadSettings

_SEED = 1  # the same tokens each time
_ABORTED = 2


class Bench:
    """One model loaded for measuring; it needs no vocabulary.

    Raises:
        EngineError, BadModelFile: llama.cpp refused the file or the settings.
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
        self._settings, self._log, self._stop = settings, log, stop
        started = time.perf_counter()
        self._model = load_weights(path, settings, log, stop, on_progress)
        self._load_ms = (time.perf_counter() - started) * 1000
        self._vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))

    def run(self, tests: Sequence[BenchTest], on_sample: Callable[[int, int], None]) -> BenchReport:
        """Run tests one after the other; `on_sample` gets (number of the test, nanoseconds)."""
        if self._vocabulary < 1:
            raise EngineError(text("This file does not say how many tokens its model knows."))
        for number, test in enumerate(tests):
            tokens = test.depth + test.prompt_tokens + test.generated_tokens
            settings = dataclasses.replace(self._settings, context_length=tokens)
            run = _Run(self, open_context(self._model, settings, self._log, self._stop))
            try:
                run.warm_up(test)
                for _ in range(test.repetitions):
                    on_sample(number, run.repeat(test))
            finally:
                run.close()
        return self._report()

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

    @property
    def batch(self) -> int:
        """Tokens of a logical batch."""
        return self._settings.batch

    def close(self) -> None:
        """Give the model's memory back."""
        llama.llama_model_free(self._model)


class _Run:
    """One test on a context of its own."""

    def __init__(self, bench: Bench, context: Any) -> None:
        self._bench, self._context = bench, context
        self._memory = llama.llama_get_memory(context)
        self._filled = 0

    def warm_up(self, test: BenchTest) -> None:
        if test.prompt_tokens:
            self._read(test.prompt_tokens)
        if test.generated_tokens:
            self._generate(1)
        self._clear()

    def repeat(self, test: BenchTest) -> int:
        """Return the nanoseconds of one repetition."""
        self._fill(test.depth)
        started = time.perf_counter_ns()
        if test.prompt_tokens:
            self._read(test.prompt_tokens)
        if test.generated_tokens:
            self._generate(test.generated_tokens)
        return time.perf_counter_ns() - started

    def _fill(self, depth: int) -> None:
        """Leave `depth` tokens in the cache; those of the repetition before are used again."""
        if not (self._filled == depth > 0 and llama.llama_memory_seq_rm(self._memory, 0, depth, -1)):
            self._clear()
            self._read(depth)
            self._filled = depth

    def _clear(self) -> None:
        llama.llama_memory_clear(self._memory, False)  # noqa: FBT003 - C signature

    def _read(self, count: int) -> None:
        tokens = self._bench.random_tokens(count)
        for start in range(0, count, self._bench.batch):
            self._decode(tokens[start : start + self._bench.batch])
        llama.llama_synchronize(self._context)

    def _generate(self, count: int) -> None:
        for token in self._bench.random_tokens(count):
            self._decode((token,))
            llama.llama_synchronize(self._context)

    def _decode(self, tokens: Sequence[int]) -> None:
        array = (ctypes.c_int32 * len(tokens))(*tokens)  # kept alive: the batch holds only its address
        code = llama.llama_decode(self._context, llama.llama_batch_get_one(array, len(tokens)))
        self._bench.check(code)

    def close(self) -> None:
        llama.llama_free(self._context)
