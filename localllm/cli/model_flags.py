"""Flags that say how a model is loaded and how it answers; spelled as llama.cpp's, for every command.

A flag that was not given leaves what a load profile or the settings say.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, cast

from localllm.engine.experts import ALL_LAYERS
from localllm.engine.protocol import KV_TYPES, Adapter, Sampling

_STANDARD = Sampling()
SMALLEST_CONTEXT = 256  # tokens
STRONGEST = 10  # times as strong as an adapter was trained
_LOADING = {
    "ctx_size": "context_length",
    "threads": "threads",
    "gpu_layers": "gpu_layers",
    "n_cpu_moe": "experts_layers_on_cpu",
    "cache_type_k": "kv_type_k",
    "cache_type_v": "kv_type_v",
    "lora": "adapters",
}
_SAMPLING = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "repeat_penalty",
    "repeat_last_n": "repeat_last_n",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "predict": "max_tokens",
    "stop": "stop",
}


def add_engine_flags(group: Any) -> None:
    """Describe how a model is loaded."""
    group.add_argument(
        "-c", "--ctx-size", type=_context_length, metavar="N", help="context length in tokens, from 256"
    )
    group.add_argument(
        "-t", "--threads", type=_threads, metavar="N", help="0: the physical cores usable here"
    )
    group.add_argument("-ngl", "--gpu-layers", type=layers, metavar="N", help="layers on the GPU")
    add_expert_flags(group)
    group.add_argument("-ctk", "--cache-type-k", choices=KV_TYPES, help="type of the keys (default: f16)")
    group.add_argument("-ctv", "--cache-type-v", choices=KV_TYPES, help="type of the values (default: f16)")
    group.add_argument(
        "--lora",
        action="append",
        type=read_adapter,
        metavar="FILE[:STRENGTH]",
        help="lay a LoRA adapter over the model (strength 1); several are added up",
    )


def add_expert_flags(group: Any) -> None:
    """Describe which experts stay in main memory."""
    experts = group.add_mutually_exclusive_group()
    experts.add_argument(
        "-ncmoe",
        "--n-cpu-moe",
        type=layers,
        metavar="N",
        help="keep the experts of the first N layers in main memory (-1: as few as must be)",
    )
    experts.add_argument(
        "-cmoe",
        "--cpu-moe",
        action="store_const",
        const=ALL_LAYERS,
        dest="n_cpu_moe",
        help="keep all experts in main memory",
    )


def add_sampling_flags(group: Any) -> None:
    """Describe how the next token is chosen."""
    for flag, kind, usual in (
        ("--temp", _at_least_zero, _STANDARD.temperature),
        ("--top-k", natural, _STANDARD.top_k),
        ("--top-p", _fraction, _STANDARD.top_p),
        ("--min-p", _fraction, _STANDARD.min_p),
        ("--repeat-penalty", _at_least_zero, _STANDARD.repeat_penalty),
        ("--repeat-last-n", natural, _STANDARD.repeat_last_n),
        ("--presence-penalty", _penalty, _STANDARD.presence_penalty),
        ("--frequency-penalty", _penalty, _STANDARD.frequency_penalty),
    ):
        group.add_argument(flag, type=kind, metavar="N", help=f"default: {usual}")
    group.add_argument("-s", "--seed", type=_seed, metavar="N", help="-1: another one each time")
    group.add_argument("-n", "--predict", type=_tokens, metavar="N", help="tokens at most; -1: no limit")
    group.add_argument("--stop", action="append", metavar="TEXT", help="ends the answer")


def read_adapter(words: str) -> Adapter:
    """Return an adapter named as FILE, NAME, FILE:STRENGTH or NAME:STRENGTH; the name is not looked up."""
    name, colon, strength = words.rpartition(":")
    if not colon or Path(words).is_file():
        return Adapter(words)
    try:
        float(strength)
    except ValueError:
        return Adapter(words)
    return Adapter(name, _bounded(strength, -STRONGEST, STRONGEST))


def chosen_flags(arguments: argparse.Namespace) -> dict[str, object]:
    """Return what the flags say of loading and sampling, sparse, for `resolve`."""
    values = {field: getattr(arguments, flag) for flag, field in (_LOADING | _SAMPLING).items()}
    return {
        field: tuple(cast("list[Any]", value))
        if isinstance(value, list)
        else value  # as it is kept: unchangeable
        for field, value in values.items()
        if value is not None
    }


def natural(value: str) -> int:
    """Read a number of things, 0 included."""
    return int(_bounded(value, 0, 2**31 - 1, whole=True))


def chunk_tokens(value: str) -> int:
    """Read the length of a chunk that a model is measured with."""
    return int(_bounded(value, 32, 2**16, whole=True))


def _context_length(value: str) -> int:
    return int(_bounded(value, SMALLEST_CONTEXT, 2**24, whole=True))


def _threads(value: str) -> int:
    return int(_bounded(value, 0, 4 * (os.cpu_count() or 1), whole=True))


def layers(value: str) -> int:
    """Read a number of layers; -1 leaves it to us."""
    return int(_bounded(value, -1, 10_000, whole=True))


def _tokens(value: str) -> int:
    return int(_bounded(value, -1, 2**31 - 1, whole=True))


def _seed(value: str) -> int:
    return int(_bounded(value, -1, 2**32 - 1, whole=True))


def _penalty(value: str) -> float:
    return _bounded(value, -100, 100)


def _at_least_zero(value: str) -> float:
    return _bounded(value, 0, 1e9)


def _fraction(value: str) -> float:
    return _bounded(value, 0, 1)


def _bounded(value: str, low: float, high: float, *, whole: bool = False) -> float:
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{value}” is not a {'whole ' if whole else ''}number") from None
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{value} is not between {low:g} and {high:g}")
    return number
