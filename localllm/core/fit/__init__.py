"""One estimator: what a model takes, what a computer has, and where the model goes."""

from localllm.core.fit.budgets import Budgets, budgets_of
from localllm.core.fit.memory import FitSettings, MemoryEstimate, estimate_memory, with_cache
from localllm.core.fit.placement import (
    FITS_NOW,
    Placement,
    Placing,
    Verdict,
    place,
    place_as,
    place_within,
    verdict_of,
)

__all__ = [
    "FITS_NOW",
    "Budgets",
    "FitSettings",
    "MemoryEstimate",
    "Placement",
    "Placing",
    "Verdict",
    "budgets_of",
    "estimate_memory",
    "place",
    "place_as",
    "place_within",
    "verdict_of",
    "with_cache",
]
