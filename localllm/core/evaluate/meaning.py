"""What the figures of an evaluation mean, in sentences.

The steps of divergence are those of the types that people know: llama.cpp's own measurements with Llama 3 8B
on WikiText-2 (tools/perplexity/README.md: Q8_0 0.0014, Q6_K 0.0055, Q5_K_M 0.011, Q4_K_M 0.028, Q3_K_M 0.084,
Q2_K 0.33), with their geometric means as borders. The same type costs a smaller model more. Those of the
most likely token are the shares that go with these divergences there; what follows from them for answers
is our own reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.evaluate.figures import FEWEST
from localllm.texts import Number, text

if TYPE_CHECKING:
    from localllm.core.evaluate.figures import Comparison, Estimated, Figures
    from localllm.texts import Text

_DIVERGENCE = (
    (0.0028, text("like Q8_0 of an 8B model: no difference that anybody would notice")),
    (0.0077, text("like Q6_K of an 8B model: next to no difference")),
    (0.0174, text("like Q5_K_M of an 8B model: hardly any difference")),
    (0.049, text("like Q4_K_M of an 8B model: a small loss, the usual bargain")),
    (0.167, text("like Q3_K_M of an 8B model: a loss that shows in hard tasks")),
)
_HEAVY = text(
    "like Q2_K of an 8B model, or worse: a heavy loss; a smaller model with more bits may be better"
)
_SAME_TOP = (
    (0.98, text("one word in fifty or fewer would be another one")),
    (0.95, text("one word in twenty or fewer would be another one")),
    (0.90, text("one word in ten or fewer would be another one")),
    (0.80, text("up to one word in five would be another one")),
)
_OTHER_WORDS = text("more than one word in five would be another one")


@dataclass(frozen=True)
class Meaning:
    """One row of the table: what was measured, its value, and what that says."""

    name: Text
    value: Text
    meaning: Text


def explain_figures(figures: Figures) -> tuple[Meaning, ...]:
    """Return the table."""
    rows = [
        Meaning(
            text("Perplexity"),
            with_error(figures.ppl, 4),
            text("as unsure as if it chose among so many tokens each time; comparable on this text only"),
        )
    ]
    if figures.comparison:
        rows += _of_comparison(figures.comparison)
    return tuple(rows)


def warnings_of(figures: Figures) -> tuple[Text, ...]:
    """Return what speaks against the figures."""
    found: list[Text] = []
    if figures.too_few:
        found.append(
            text(
                "Only {count} positions were scored; below {least} the figures say little. Take more chunks.",
                count=figures.positions,
                least=FEWEST,
            )
        )
    comparison = figures.comparison
    if comparison and not figures.too_few and comparison.ln_ratio.value < -2 * comparison.ln_ratio.error < 0:
        found.append(
            text("Its perplexity is lower than the reference's: that is chance or the text, not quality.")
        )
    return tuple(found)


def with_error(one: Estimated, decimals: int) -> Text:
    """Return a figure with its standard error."""
    return text("{value} ± {error}", value=Number(one.value, decimals), error=Number(one.error, decimals))


def percent_with_error(one: Estimated, decimals: int) -> Text:
    """Return a share with its standard error, in percent."""
    return text(
        "{value} ± {error} %",
        value=Number(100 * one.value, decimals),
        error=Number(100 * one.error, decimals),
    )


def _of_comparison(comparison: Comparison) -> list[Meaning]:
    divergence = comparison.divergence
    return [
        Meaning(
            text("Perplexity of the reference"),
            with_error(comparison.base_ppl, 4),
            text("what it was made from, on the same text"),
        ),
        Meaning(
            text("ln of their ratio"),
            with_error(comparison.ln_ratio, 5),
            _ratio_meaning(comparison.ln_ratio),
        ),
        Meaning(
            text("Divergence, mean"),
            with_error(divergence.mean, 5),
            _step(_DIVERGENCE, divergence.mean.value),
        ),
        Meaning(
            text("Divergence, median"),
            text("{value}", value=Number(divergence.median, 5)),
            text("half of all predictions are closer to the reference's than this"),
        ),
        Meaning(
            text("Divergence, 99 %"),
            text("{value}", value=Number(divergence.p99, 4)),
            text("one prediction in a hundred is farther from the reference's"),
        ),
        Meaning(
            text("Divergence, highest"),
            text("{value}", value=Number(divergence.max, 4)),
            text("the worst prediction of the text"),
        ),
        Meaning(
            text("Same first choice"),
            percent_with_error(comparison.same_top, 2),
            _words(comparison.same_top.value),
        ),
        Meaning(
            text("Change of probability"),
            percent_with_error(comparison.rms_delta_p, 3),
            text("by so much the right token's probability differs as a rule (root mean square)"),
        ),
    ]


def _ratio_meaning(ratio: Estimated) -> Text:
    if abs(ratio.value) <= 2 * ratio.error:
        return text("no difference beyond its error")
    if ratio.value < 0:
        return text("lower than the reference's")
    return text("about {percent} % higher", percent=Number(100 * ratio.value, 2))


def _step(steps: tuple[tuple[float, Text], ...], value: float) -> Text:
    return next((meaning for border, meaning in steps if value < border), _HEAVY)


def _words(share: float) -> Text:
    return next((meaning for border, meaning in _SAME_TOP if share >= border), _OTHER_WORDS)
