"""How a verdict of the recommendation is said: a word, a tint, a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from localllm.texts import Number, Text, text

if TYPE_CHECKING:
    from localllm.core.fit import Verdict
    from localllm.core.recommend import Choice

Tint = Literal["good", "tight", "bad"]


def word_of(verdict: Verdict) -> Text:
    """Return the verdict in a word or two."""
    words: dict[Verdict, Text] = {
        "fits": text("Fits"),
        "tight": text("Tight"),
        "needs_closing_apps": text("Close other apps"),
        "partly_on_cpu": text("Partly on the CPU"),
        "does_not_fit": text("Does not fit"),
    }
    return words[verdict]


def tint_of(verdict: Verdict) -> Tint:
    """Return the tint of the verdict's pill."""
    if verdict == "fits":
        return "good"
    return "bad" if verdict == "does_not_fit" else "tight"


def speed_of(choice: Choice) -> Text:
    """Return the predicted speed."""
    value = choice.speed.tokens_per_second
    return text("{speed} tokens/s", speed=Number(value, 1 if value < 20 else 0))


def source_of_speed(choice: Choice) -> Text:
    """Return how the speed was obtained."""
    speed = choice.speed
    if speed.basis == "measured":
        return text("measured here")
    spread = max(1.0, speed.tokens_per_second)
    percent = round(100 * (speed.high - speed.low) / 2 / spread)
    if speed.basis == "calibrated":
        return text("estimated from a measurement here, ±{percent} %", percent=percent)
    return text("estimated ±{percent} %", percent=percent)
