"""What is said under an answer: how long it is, how fast it came, and why it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.texts import Number, Text, plural, text
from localllm.ui.translation import say

if TYPE_CHECKING:
    from localllm.engine.protocol import Stats, StopReason


def describe_answer(stats: Stats) -> str:
    """Return one line: tokens, tokens/s, time to the first token, why it ended."""
    parts: list[Text] = []
    if stats.completion_tokens > 0:  # an engine that ended could not say how many there were
        parts.append(plural(stats.completion_tokens, "{count} token", "{count} tokens"))
    if stats.tokens_per_second > 0:
        parts.append(text("{speed} tokens/s", speed=Number(stats.tokens_per_second, 1)))
    if stats.ttft_ms > 0:
        parts.append(text("first token after {seconds} s", seconds=Number(stats.ttft_ms / 1000, 2)))
    parts.append(describe_end(stats.stop_reason))
    return " · ".join(say(part) for part in parts)


def describe_end(reason: StopReason) -> Text:
    """Return why an answer ended, in a few words."""
    ends: dict[StopReason, Text] = {
        "end": text("complete"),
        "length": text("ended at the token limit"),
        "stop_string": text("ended at a stop string"),
        "context_full": text("ended because the context is full"),
        "cancelled": text("stopped by you"),
        "engine_died": text("cut off: the engine ended"),
        "error": text("cut off by an error"),
    }
    return ends[reason]
