"""What a pass over a text is asked for and answers: perplexity, divergence, importance matrix, own text.

A text is tokenized once and cut into chunks of equal length; each chunk is read from an empty cache, its
first token replaced by the vocabulary's beginning-of-text token where it has one (llama.cpp 0c1e570,
tools/perplexity, tools/imatrix). Of a chunk of n tokens, positions n/2 to n-2 are scored: each predicts the
token after it with at least n/2 tokens before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CHUNK_TOKENS = 512
ReferenceUse = Literal["none", "keep", "compare"]


@dataclass(frozen=True)
class TextPass:
    """A text that is read in chunks of `chunk_tokens`; `chunks` 0 = as many as it has.

    `together` chunks are read at a time. What they show is the same but for last bits of an importance
    matrix, which llama-imatrix makes from four.
    """

    text: str
    chunk_tokens: int = CHUNK_TOKENS
    chunks: int = 0
    together: int = 1


@dataclass(frozen=True)
class Reference:
    """A folder with a reference's probabilities: none, to be filled, or to be compared with."""

    use: ReferenceUse = "none"
    folder: str = ""


@dataclass(frozen=True)
class PassStart:
    """The model is loaded; `chunks` will be read, the text has `tokens`."""

    chunks: int
    tokens: int
    vocabulary: int


@dataclass(frozen=True)
class ChunkDone:
    """The chunk of this number, from 0, has been read."""

    number: int


@dataclass(frozen=True)
class ChunkScore:
    """What a chunk's scored positions showed, one entry for each.

    Attributes:
        number: From 0.
        nll: Negative log-likelihood of the right token, nats.
        reference_nll: The reference's; this and what follows is empty without a reference.
        divergence: Kullback-Leibler divergence from the reference, nats.
        delta_p: Probability of the right token less the reference's.
        same_top: Whether both find the same token most likely.
    """

    number: int
    nll: tuple[float, ...]
    reference_nll: tuple[float, ...] = ()
    divergence: tuple[float, ...] = ()
    delta_p: tuple[float, ...] = ()
    same_top: tuple[bool, ...] = ()


@dataclass(frozen=True)
class OwnText:
    """What a model wrote by itself; `done` of `tokens` so far, `text` when it is complete."""

    done: int
    tokens: int
    text: str = ""


ScoreEvent = PassStart | ChunkScore
ImatrixEvent = PassStart | ChunkDone
