"""How verdicts, speeds and certainties are said: a word, a tint, a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from localllm.texts import Bytes, Number, Text, text

if TYPE_CHECKING:
    from localllm.core.estimate import Estimate
    from localllm.core.fit import Verdict
    from localllm.core.fit.memory import Certainty
    from localllm.core.recommend import Choice
    from localllm.core.speed import Basis, SpeedEstimate

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


def fit_of(answer: Estimate) -> Text:
    """Return the verdict with what is needed."""
    return text("{verdict}: {need}", verdict=word_of(answer.verdict), need=Bytes(answer.memory.total))


def tint_of(verdict: Verdict) -> Tint:
    """Return the tint of the verdict's pill."""
    if verdict == "fits":
        return "good"
    return "bad" if verdict == "does_not_fit" else "tight"


def speed_words(rate: float) -> Text:
    """Return tokens per second as they are shown."""
    return text("{speed} tokens/s", speed=speed_number(rate))


def speed_number(rate: float) -> Number:
    """Return a speed with as many decimals as it deserves."""
    return Number(rate, 1 if rate < 20 else 0)


def speed_of(choice: Choice) -> Text:
    """Return the predicted speed: of the answer, for embeddings of reading."""
    return speed_words(choice.pace)


def source_of_speed(speed: SpeedEstimate) -> Text:
    """Return how a speed was obtained, and how far off it may be."""
    spread = max(0.1, speed.tokens_per_second)
    percent = round(100 * (speed.high - speed.low) / 2 / spread)
    sources: dict[Basis, Text] = {
        "measured": text("measured here, ±{percent} %", percent=percent),
        "carried": text("estimated from a measurement here, ±{percent} %", percent=percent),
        "calibrated": text("from other models here, ±{percent} %", percent=percent),
        "table": text("estimated ±{percent} %", percent=percent),
    }
    return sources[speed.basis]


def interval_of(speed: SpeedEstimate) -> Text:
    """Return the interval of a speed with what it rests on."""
    return text(
        "{low} to {high} tokens/s, {basis}",
        low=speed_number(speed.low),
        high=speed_number(speed.high),
        basis=speed.source,
    )


def certainty_of(certainty: Certainty) -> tuple[Text, Text]:
    """Return how sure a memory figure is, in a word and in a sentence."""
    if certainty == "formula":
        return text("formula"), text(
            "From the model's dimensions, by the rules by which llama.cpp allocates: within 1 % in 99 of 100 "
            "cases."
        )
    return text("exact"), text(
        "llama.cpp itself was asked with the file's header and these settings, without allocating anything."
    )
