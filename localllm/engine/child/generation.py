"""One answer: read the prompt, reuse what the KV cache still holds, then token by token."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localllm.engine.child.native import llama
from localllm.engine.child.sampling import SamplerChain
from localllm.engine.child.text_stream import TextStream
from localllm.engine.protocol import Stats, StopReason
from localllm.errors import Cancelled, ContextTooSmall, EngineError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.engine.child.model import Model
    from localllm.engine.protocol import Sampling

_ABORTED = 2
_CHUNK_SECONDS = 1.0  # a prompt is read in pieces of about this long, so that its progress shows
_SMALLEST_CHUNK = 32  # tokens
_LARGE_VOCABULARY = 100_000  # tokens


class Generator:
    """Writes answers with one model; remembers which tokens the KV cache holds."""

    def __init__(self, model: Model, ubatch: int, *, on_device: bool) -> None:
        self._model = model
        self._ubatch = ubatch
        self._on_device = on_device
        self._cached: list[int] = []
        self._prompt_speed = 0.0  # tokens/s of the last prompt; 0 before the first

    def answer(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        stops: Sequence[str],
        *,
        on_prompt: Callable[[int, int, int], None],
        on_piece: Callable[[str], None],
    ) -> Stats:
        """Read the prompt and write an answer.

        Args:
            prompt: Tokens.
            sampling: How tokens are chosen.
            stops: Strings that end the answer.
            on_prompt: Gets (tokens read, tokens in all, tokens reused) while the prompt is read.
            on_piece: Gets each piece of text.

        Returns:
            The counts and times; a stop asked for is a reason there, not an error.

        Raises:
            ContextTooSmall: The prompt leaves no room for a single token.
            EngineError: llama.cpp failed.
        """
        if len(prompt) >= self._model.context_length:
            raise _too_long(len(prompt), self._model.context_length)
        chain = SamplerChain(sampling, self._model.vocabulary)
        chain.accept_prompt(prompt)
        attached = self._attach(chain)
        try:
            run = _Run(
                time.perf_counter(), self._model, chain, TextStream((*stops, *sampling.stop)), on_piece
            )
            reused = self._forget_all_but_common(prompt)
            try:
                self._read(prompt, reused, on_prompt)
            except Cancelled:
                return run.stats(len(prompt), reused, "cancelled", len(self._cached))
            run.prompt_is_read()
            reason = self._write(run, sampling.max_tokens)
            return run.stats(len(prompt), reused, reason, len(self._cached))
        finally:
            if attached:
                llama.llama_set_sampler(self._model.context, 0, None)
            chain.free()

    def forget(self) -> None:
        """Read the whole prompt anew next time: what the KV cache holds was computed by another model."""
        self._model.forget()
        self._cached.clear()

    def _attach(self, chain: SamplerChain) -> bool:
        """Let the device sample where that pays, before the prompt is read; return whether it does.

        On an H100 attaching takes about 16 ms an answer, and sampling on the CPU 0.4 ms a token with a
        vocabulary of 150,000 entries, but next to nothing with one of 50,000 (measured).
        """
        if not self._on_device or self._model.vocabulary < _LARGE_VOCABULARY:
            return False
        return llama.llama_set_sampler(self._model.context, 0, chain.handle)

    def _forget_all_but_common(self, prompt: Sequence[int]) -> int:
        """Cut the KV cache to the beginning that it shares with the prompt; return its tokens."""
        common = 0
        limit = min(len(self._cached), len(prompt) - 1)  # the last token must be decoded to get its logits
        while common < limit and self._cached[common] == prompt[common]:
            common += 1
        if common < len(self._cached) and not self._can_rewind_to(common):
            common = 0
        if not llama.llama_memory_seq_rm(self._model.memory, 0, common, -1):
            common = 0
            llama.llama_memory_clear(self._model.memory, True)  # noqa: FBT003
        del self._cached[common:]
        return common

    def _can_rewind_to(self, position: int) -> bool:
        """Tell whether sliding-window layers still hold the window before this position."""
        window = self._model.sliding_window
        if not window:
            return True
        oldest = llama.llama_memory_seq_pos_min(self._model.memory, 0)
        return oldest <= max(0, position - window)

    def _read(self, prompt: Sequence[int], reused: int, on_prompt: Callable[[int, int, int], None]) -> None:
        done = reused
        on_prompt(done, len(prompt), reused)
        while done < len(prompt):
            piece = prompt[done : done + self._chunk()]
            started = time.perf_counter()
            self._decode(piece)
            self._prompt_speed = len(piece) / max(1e-6, time.perf_counter() - started)
            done += len(piece)
            on_prompt(done, len(prompt), reused)

    def _chunk(self) -> int:
        """Return how many tokens to read at once: all that fit a second, in steps that suit the kernels."""
        if not self._prompt_speed:
            return min(self._ubatch, 4 * _SMALLEST_CHUNK)
        steps = int(self._prompt_speed * _CHUNK_SECONDS) // _SMALLEST_CHUNK
        return min(self._ubatch, max(1, steps) * _SMALLEST_CHUNK)

    def _decode(self, tokens: Sequence[int]) -> None:
        code = self._model.decode(tokens)
        if code == 0:
            self._cached.extend(tokens)
            return
        llama.llama_memory_seq_rm(self._model.memory, 0, len(self._cached), -1)
        if code == _ABORTED or self._model.stop.is_set:
            raise Cancelled
        if code == 1:
            raise _too_long(len(self._cached) + len(tokens), self._model.context_length)
        raise EngineError(
            text("The engine could not compute the answer (code {code}).", code=code),
            hint=text("Load the model again; if it happens again, with the standard settings."),
        )

    def _write(self, run: _Run, max_tokens: int) -> StopReason:
        model, sample, chain = self._model, llama.llama_sampler_sample, run.chain.handle
        while max_tokens < 0 or run.tokens < max_tokens:
            token = sample(chain, model.context, -1)
            if llama.llama_vocab_is_eog(model.vocab, token):
                return "end"
            run.take(token)
            reason = self._advance(run, token)
            if reason:
                return reason
        return "length"

    def _advance(self, run: _Run, token: int) -> StopReason | None:
        """Run a token of the answer through the model; return why that is the end, if it is."""
        if run.stream.stopped:
            return "stop_string"
        if len(self._cached) + 1 >= self._model.context_length:
            return "context_full"
        try:
            self._decode((token,))
        except Cancelled:
            return "cancelled"
        except ContextTooSmall:
            return "context_full"
        return None


@dataclass
class _Run:
    """The clock and the counters of one answer."""

    started: float
    model: Model
    chain: SamplerChain
    stream: TextStream
    on_piece: Callable[[str], None]
    tokens: int = 0
    _read_at: float = 0.0
    _first_at: float = 0.0
    _last_at: float = 0.0

    def prompt_is_read(self) -> None:
        self._read_at = time.perf_counter()

    def take(self, token: int) -> None:
        """Count a token and hand its text on."""
        self._last_at = time.perf_counter()
        if not self.tokens:
            self._first_at = self._last_at
        self.tokens += 1
        shown = self.stream.feed(self.model.piece(token))
        if shown:
            self.on_piece(shown)

    def stats(self, prompt_tokens: int, reused: int, reason: StopReason, used: int) -> Stats:
        """Hand on what was held back, and return the figures."""
        rest = self.stream.finish()
        if rest:
            self.on_piece(rest)
        read_at = self._read_at or time.perf_counter()
        values: dict[str, Any] = {
            "prompt_tokens": prompt_tokens,
            "reused_tokens": reused,
            "prompt_ms": (read_at - self.started) * 1000,
            "completion_tokens": self.tokens,
            "completion_ms": (self._last_at - self._first_at) * 1000,
            "ttft_ms": (self._first_at - self.started) * 1000 if self.tokens else 0.0,
        }
        return Stats(
            **values,
            stop_reason=reason,
            context_used=used,
            context_length=self.model.context_length,
            seed=self.chain.seed,
        )


def _too_long(tokens: int, context_length: int) -> ContextTooSmall:
    return ContextTooSmall(
        text(
            "The message takes {tokens} tokens, and the context holds {limit}.",
            tokens=tokens,
            limit=context_length,
        ),
        hint=text("Shorten it, or load the model with a larger context length."),
    )
