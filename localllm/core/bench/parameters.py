"""What can be asked for: llama-bench's parameters, each a list of values (llama.cpp 0c1e570)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from localllm.engine.benches import LoadMode

Flash = Literal["on", "off", "auto"]
MOST_VALUES = 1000  # of one parameter
_LARGEST = 2**31 - 1
_RANGE = re.compile(r"(-?\d+)(?:-(\d+)(?:([+*])(\d+))?)?", re.ASCII)


@dataclass(frozen=True)
class Parameters:
    """All combinations of these are measured.

    Attributes:
        prompts: Tokens of a prompt that is read.
        generated: Tokens that are written.
        pairs: Tokens read, then written, as one test.
        depths: Tokens that the cache holds before.
        threads: 0 takes the cores that may be used.
        gpu_layers: -1 takes all.
        expert_layers: Layers, from the first, whose experts stay in main memory.
        repack: Weights repacked for this processor; None where that does not crash.
        sequences: How many are read and written at the same time.
        repetitions: Of each test, after one to warm up.
    """

    prompts: tuple[int, ...] = (512,)
    generated: tuple[int, ...] = (128,)
    pairs: tuple[tuple[int, int], ...] = ()
    depths: tuple[int, ...] = (0,)
    batches: tuple[int, ...] = (2048,)
    ubatches: tuple[int, ...] = (512,)
    kv_types_k: tuple[str, ...] = ("f16",)
    kv_types_v: tuple[str, ...] = ("f16",)
    threads: tuple[int, ...] = (0,)
    gpu_layers: tuple[int, ...] = (-1,)
    expert_layers: tuple[int, ...] = (0,)
    flash: tuple[Flash, ...] = ("auto",)
    load_modes: tuple[LoadMode, ...] = ("auto",)
    repack: tuple[bool | None, ...] = (None,)
    sequences: tuple[int, ...] = (1,)
    repetitions: int = 5


def read_numbers(words: str, lowest: int = 0) -> tuple[int, ...]:
    """Read llama-bench's lists and ranges: "1,4", "1-8", "128-512+128", "1-16*2".

    Raises:
        ValueError: They are none, or make no sense; says why in English.
    """
    found: list[int] = []
    for part in words.removesuffix(",").split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"“{part}” is neither a number nor a range such as 1-8, 128-512+128 or 1-16*2")
        first, last = int(match[1]), int(match[2] or match[1])
        if not lowest <= first <= last <= _LARGEST:
            raise ValueError(f"“{part}” is not within {lowest} and {_LARGEST}, or runs backwards")
        found += _steps(first, last, match[3] or "+", int(match[4] or 1), MOST_VALUES - len(found))
    return tuple(found)


def _steps(first: int, last: int, sign: str, step: int, room: int) -> list[int]:
    values = [first]
    while (following := values[-1] + step if sign == "+" else values[-1] * step) <= last:
        if following <= values[-1]:
            raise ValueError(f"“{first}-{last}{sign}{step}” never gets on")
        values.append(following)
        if len(values) > room:
            raise ValueError(f"more than {MOST_VALUES} values")
    return values
