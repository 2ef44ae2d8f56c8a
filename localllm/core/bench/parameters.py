"""What can be asked for: llama-bench's parameters, each a list of values (llama.cpp 0c1e570)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from localllm.engine.benches import LazyMode, LoadMode, Numa, SplitMode

Flash = Literal["on", "off", "auto"]
MOST_VALUES = 1000  # of one parameter
_LARGEST = 2**31 - 1
_MOST_CPUS = 512
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
        cpu_masks: Processors as a hexadecimal number; "0x0" takes all.
        polls: Per cent of the time that a thread waits busily.
        gpu_layers: -1 takes all.
        expert_layers: Layers, from the first, whose experts stay in main memory.
        devices: "auto", "none", or names of GPUs: "CUDA0/CUDA1".
        tensor_splits: Shares of the GPUs; () leaves them to the engine.
        overrides: Tensors by pattern, and their kind of buffer: ("ffn_down=CPU",).
        repack: Weights repacked for this processor; None where that does not crash.
        sequences: How many are read and written at the same time.
        repetitions: Of each test, after one to warm up.
        priority: Of the engine's process: -1 low to 3 real time.
        numa: llama.cpp's way with several memory controllers, "" for none.
        warm_up: Whether each test is begun with a repetition that does not count.
        delay: Seconds of rest before each test.
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
    cpu_masks: tuple[str, ...] = ("0x0",)
    cpu_strict: tuple[bool, ...] = (False,)
    polls: tuple[int, ...] = (50,)
    gpu_layers: tuple[int, ...] = (-1,)
    expert_layers: tuple[int, ...] = (0,)
    split_modes: tuple[SplitMode, ...] = ("layer",)
    main_gpus: tuple[int, ...] = (0,)
    devices: tuple[str, ...] = ("auto",)
    tensor_splits: tuple[tuple[float, ...], ...] = ((),)
    overrides: tuple[tuple[str, ...], ...] = ((),)
    no_kv_offload: tuple[bool, ...] = (False,)
    no_op_offload: tuple[bool, ...] = (False,)
    no_host: tuple[bool, ...] = (False,)
    embeddings: tuple[bool, ...] = (False,)
    flash: tuple[Flash, ...] = ("auto",)
    load_modes: tuple[LoadMode, ...] = ("auto",)
    lazy_modes: tuple[LazyMode, ...] = ("auto",)
    repack: tuple[bool | None, ...] = (None,)
    sequences: tuple[int, ...] = (1,)
    repetitions: int = 5
    priority: int = 0
    numa: Numa = ""
    warm_up: bool = True
    delay: int = 0


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


def read_pair(words: str) -> tuple[int, int]:
    """Read "512,128": tokens read, then written.

    Raises:
        ValueError: It is none; says why in English.
    """
    numbers = read_numbers(words)
    if len(numbers) != 2 or not any(numbers):
        raise ValueError(f"“{words}” is not a pair such as 512,128")
    return numbers[0], numbers[1]


def read_mask(words: str) -> str:
    """Read a set of processors: "0xf" for the first four.

    Raises:
        ValueError: It is none; says why in English.
    """
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,128}", words):
        raise ValueError(f"“{words}” is not a hexadecimal number of {_MOST_CPUS} bits at most, such as 0xf")
    return words


def read_shares(words: str) -> tuple[float, ...]:
    """Read how GPUs share a model: "3/1"; "0" leaves it to the engine.

    Raises:
        ValueError: It makes no sense; says why in English.
    """
    parts = [part for part in re.split(r"[;/]+", words) if part]
    if not parts or not all(re.fullmatch(r"\d{1,9}(\.\d{1,9})?", part, re.ASCII) for part in parts):
        raise ValueError(f"“{words}” is not a list of shares such as 3/1")
    shares = tuple(float(part) for part in parts)
    return shares if math.fsum(shares) > 0 else ()


def read_overrides(words: str) -> tuple[str, ...]:
    """Read where tensors go: "ffn_down=CPU;attn=CUDA0"; "" changes nothing.

    Raises:
        ValueError: It makes no sense; says why in English.
    """
    parts = tuple(part for part in words.split(";") if part)
    for part in parts:
        pattern, _, buffer = part.rpartition("=")
        if not pattern or not buffer:
            raise ValueError(f"“{part}” is not a pattern and a buffer such as ffn_down=CPU")
        try:
            re.compile(pattern)
        except re.error:
            raise ValueError(f"“{pattern}” is not a pattern of names") from None
    return parts


def _steps(first: int, last: int, sign: str, step: int, room: int) -> list[int]:
    values = [first]
    while (following := values[-1] + step if sign == "+" else values[-1] * step) <= last:
        if following <= values[-1]:
            raise ValueError(f"“{first}-{last}{sign}{step}” never gets on")
        values.append(following)
        if len(values) > room:
            raise ValueError(f"more than {MOST_VALUES} values")
    return values
