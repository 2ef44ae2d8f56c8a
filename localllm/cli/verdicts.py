"""How the command line says a verdict: in a table's cell, and as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.core.fit import Verdict

VERDICT_WORDS: dict[Verdict, Text] = {
    "fits": text("fits"),
    "tight": text("fits tightly"),
    "partly_on_cpu": text("fits, partly on the processor"),
    "needs_closing_apps": text("fits after closing programs"),
    "does_not_fit": text("does not fit"),
}
VERDICT_SENTENCES: dict[Verdict, Text] = {
    "fits": text("It fits."),
    "tight": text("It fits, and takes nearly all that is free."),
    "partly_on_cpu": text("It fits with a part of it on the processor."),
    "needs_closing_apps": text("It fits after other programs are closed."),
    "does_not_fit": text("It does not fit."),
}
