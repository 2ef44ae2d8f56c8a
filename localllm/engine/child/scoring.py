"""From logits to what a text's tokens cost a model, and how far it is from a reference.

As llama-perplexity computes them (llama.cpp 0c1e570, tools/perplexity/perplexity.cpp): exponentials in
float32, their sum in float64. A reference's probabilities are kept in 16 bits: log p = value · scale +
lowest, where the value 0 stands for everything that is 16 nats or more below the most likely token.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from localllm.engine.reference_files import PackedChunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

WINDOW = np.float32(16)  # nats below the most likely token
_STEPS = np.float32(65535)
_SMALLEST = np.float32(1e-30)  # scale: the reciprocal of a smaller one is infinite
_BLOCK = 1 << 18  # logits: what is worked on at once stays in a core's cache


@dataclass(frozen=True)
class Comparison:
    """One entry for each position; `nll` and `reference_nll` of the right token, nats."""

    nll: NDArray[np.float32]
    reference_nll: NDArray[np.float32]
    divergence: NDArray[np.float32]
    delta_p: NDArray[np.float32]
    same_top: NDArray[np.bool_]


class Scorer:
    """Works on the rows of a chunk with several threads: numpy lets go of the interpreter."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)

    def nll(self, logits: Floats, tokens: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the negative log-likelihood of each row's right token, nats.

        Args:
            logits: [positions, vocabulary].
            tokens: The right one for each position.
        """
        found = np.empty(len(logits), np.float64)

        def work(rows: slice) -> None:
            found[rows] = _nll(logits[rows], tokens[rows])

        self._each(work, logits)
        return found

    def pack(self, logits: Floats) -> PackedChunk:
        """Return log-probabilities in 16 bits."""
        count, vocabulary = logits.shape
        scales = np.empty((count, 2), np.float32)
        bits = np.empty((count, -(-vocabulary // 8)), np.uint8)
        values = [np.empty(0, np.uint16)] * count

        def work(rows: slice) -> None:
            for n in range(rows.start, rows.stop):
                scales[n], steps = _steps(logits[n])
                present = steps != 0
                bits[n] = np.packbits(present)
                values[n] = np.compress(present, steps)

        self._each(work, logits)
        return PackedChunk.of(vocabulary, scales, bits, np.concatenate(values))

    def compare(self, logits: Floats, tokens: NDArray[np.int32], packed: PackedChunk) -> Comparison:
        """Compare with a reference; else as `nll`."""
        count = len(logits)
        nll, reference, divergence, delta = (np.empty(count, np.float32) for _ in range(4))
        same = np.empty(count, np.bool_)

        def work(rows: slice) -> None:
            for n in range(rows.start, rows.stop):
                nll[n], reference[n], divergence[n], same[n] = _compare(
                    logits[n], int(tokens[n]), packed.scales[n], *packed.row(n)
                )

        self._each(work, logits)
        np.subtract(np.exp(-nll), np.exp(-reference), out=delta)
        return Comparison(nll, reference, divergence, delta, same)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _each(self, work: Callable[[slice], None], logits: Floats) -> None:
        for _ in self._pool.map(work, _blocks(logits)):
            pass


def _blocks(logits: Floats) -> Iterator[slice]:
    step = max(1, _BLOCK // logits.shape[1])
    for start in range(0, len(logits), step):
        yield slice(start, min(start + step, len(logits)))


def _nll(logits: Floats, tokens: NDArray[np.int32]) -> NDArray[np.float64]:
    top = logits.max(axis=1)
    right = logits[np.arange(len(tokens)), tokens] - top
    powers = np.subtract(logits, top[:, None])
    np.exp(powers, out=powers)
    return np.log(powers.sum(axis=1, dtype=np.float64)) - right


def _log_sum(logits: Floats, top: np.float32) -> np.float32:
    powers = np.subtract(logits, top)
    np.exp(powers, out=powers)
    return np.float32(np.log(powers.sum(dtype=np.float64)))


def _steps(logits: Floats) -> tuple[tuple[np.float32, np.float32], NDArray[np.uint16]]:
    """Return scale and lowest, and each token's value."""
    top = logits.max()
    low = max(logits.min(), top - WINDOW)
    scale = (top - low) / _STEPS
    lowest = low - top - _log_sum(logits, top)
    if scale < _SMALLEST:
        return (scale, lowest), np.zeros(len(logits), np.uint16)
    steps = np.subtract(logits, low)
    np.multiply(steps, np.float32(1) / scale, out=steps)
    np.rint(steps, out=steps)
    np.clip(steps, 0, _STEPS, out=steps)
    return (scale, lowest), steps.astype(np.uint16)


def _compare(
    logits: Floats, token: int, scales: Floats, places: NDArray[np.int64], values: NDArray[np.uint16]
) -> tuple[np.float32, np.float32, np.float64, np.bool_]:
    best = int(logits.argmax())
    top = logits[best]
    whole = top + _log_sum(logits, top)
    scale, lowest = scales
    if lowest > -WINDOW:  # then those that were left out count too
        every = np.zeros(len(logits), np.uint16)
        every[places] = values
        places, values = np.arange(len(logits)), every
    reference = values.astype(np.float32)
    reference *= scale
    reference += lowest
    expected_best = int(places[reference.argmax()]) if len(places) else 0
    place = int(np.searchsorted(places, token))
    has_value = place < len(places) and places[place] == token
    expected = reference[place] if has_value else lowest
    likely = reference > -WINDOW
    expectations = np.compress(likely, reference)
    terms = expectations - logits[np.compress(likely, places)]
    terms += whole
    terms *= np.exp(expectations)
    same = np.bool_(best == expected_best)
    return whole - logits[token], -expected, terms.sum(dtype=np.float64), same
