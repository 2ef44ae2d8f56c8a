"""The flags of `localllm bench` that say what is measured: llama-bench's, spelled and read as there."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

from localllm.core.bench.parameters import (
    read_mask,
    read_numbers,
    read_overrides,
    read_pair,
    read_shares,
)
from localllm.engine.benches import PRIORITIES, LazyMode, LoadMode, Numa, SplitMode
from localllm.engine.protocol import KV_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MOST_REPETITIONS = 1000
_LONGEST_DELAY = 3600  # seconds
_FLASH = {
    **dict.fromkeys(("on", "enabled", "true", "1"), "on"),
    **dict.fromkeys(("off", "disabled", "false", "0"), "off"),
    **dict.fromkeys(("auto", "-1"), "auto"),
}
_SPLITS, _LOADS = get_args(SplitMode), get_args(LoadMode)
_FLAGS = {"0": False, "1": True}
_NUMA = {one: one for one in get_args(Numa) if one}
_SINGLE = ("repetitions", "priority", "numa", "delay")


@dataclass(frozen=True)
class _Flag:
    """A flag whose values are a list of `Parameters`; it may be repeated."""

    flags: tuple[str, ...]
    name: str
    read: Callable[[str], Iterable[Any]]
    shown: str
    help: str


def _numbers(lowest: int) -> Callable[[str], tuple[int, ...]]:
    return lambda words: read_numbers(words, lowest)


def _each(read: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    return lambda words: tuple(read(part) for part in words.split(","))


def _words(known: dict[str, Any]) -> Callable[[str], tuple[Any, ...]]:
    def read(word: str) -> Any:
        if word not in known:
            raise ValueError(f"“{word}” is none of {', '.join(known)}")
        return known[word]

    return _each(read)


def _same(words: Iterable[str]) -> dict[str, Any]:
    return {word: word for word in words}


_LISTS = (
    _Flag(("-p", "--n-prompt"), "prompts", _numbers(0), "N", "tokens of a prompt (default: 512); 0: none"),
    _Flag(("-n", "--n-gen"), "generated", _numbers(0), "N", "tokens to write (default: 128); 0: none"),
    _Flag(("-pg",), "pairs", lambda words: (read_pair(words),), "PP,TG", "read, then write, as one test"),
    _Flag(("-d", "--n-depth"), "depths", _numbers(0), "N", "tokens in the cache before (default: 0)"),
    _Flag(("-b", "--batch-size"), "batches", _numbers(1), "N", "of a logical batch (default: 2048)"),
    _Flag(("-ub", "--ubatch-size"), "ubatches", _numbers(1), "N", "of a physical batch (default: 512)"),
    _Flag(("-npl", "--parallel"), "sequences", _numbers(1), "N", "sequences at the same time (default: 1)"),
    _Flag(("-ctk", "--cache-type-k"), "kv_types_k", _words(_same(KV_TYPES)), "TYPE", "default: f16"),
    _Flag(("-ctv", "--cache-type-v"), "kv_types_v", _words(_same(KV_TYPES)), "TYPE", "default: f16"),
    _Flag(("-fa", "--flash-attn"), "flash", _words(_FLASH), "on|off|auto", "default: auto"),
    _Flag(("-embd", "--embeddings"), "embeddings", _words(_FLAGS), "0|1", "compute them too"),
    _Flag(("-t", "--threads"), "threads", _numbers(0), "N", "default: the cores usable here"),
    _Flag(
        ("-C", "--cpu-mask"), "cpu_masks", _each(read_mask), "HEX", "processors to use (default: 0x0, all)"
    ),
    _Flag(("--cpu-strict",), "cpu_strict", _words(_FLAGS), "0|1", "a processor for each thread alone"),
    _Flag(("--poll",), "polls", _numbers(0), "N", "per cent of waiting busily (default: 50)"),
    _Flag(("-ngl", "--n-gpu-layers"), "gpu_layers", _numbers(-1), "N", "on the GPU (default: -1, all)"),
    _Flag(("-ncmoe", "--n-cpu-moe"), "expert_layers", _numbers(0), "N", "whose experts stay in main memory"),
    _Flag(("-sm", "--split-mode"), "split_modes", _words(_same(_SPLITS)), "|".join(_SPLITS), "between GPUs"),
    _Flag(("-mg", "--main-gpu"), "main_gpus", _numbers(0), "N", "which has all of it with -sm none"),
    _Flag(("-dev", "--device"), "devices", _each(str.strip), "NAME/NAME", "auto, none, or GPUs: CUDA0/CUDA1"),
    _Flag(("-ts", "--tensor-split"), "tensor_splits", _each(read_shares), "N/N", "shares of the GPUs"),
    _Flag(
        ("-ot", "--override-tensor"),
        "overrides",
        _each(read_overrides),
        "PATTERN=BUFFER;…",
        "where tensors go",
    ),
    _Flag(("-nkvo", "--no-kv-offload"), "no_kv_offload", _words(_FLAGS), "0|1", "the cache in main memory"),
    _Flag(
        ("-nopo", "--no-op-offload"),
        "no_op_offload",
        _words(_FLAGS),
        "0|1",
        "weights in main memory stay there",
    ),
    _Flag(("--no-host",), "no_host", _words(_FLAGS), "0|1", "those are not pinned for the GPU"),
    _Flag(("-lm", "--load-mode"), "load_modes", _words(_same(_LOADS)), "|".join(_LOADS), "default: auto"),
    _Flag(("-mmp", "--mmap"), "load_modes", _words({"0": "none", "1": "mmap"}), "0|1", "as -lm none|mmap"),
    _Flag(("-dio", "--direct-io"), "load_modes", _words({"0": "auto", "1": "dio"}), "0|1", "as -lm auto|dio"),
    _Flag(
        ("-lzm", "--lazy-mode"),
        "lazy_modes",
        _words(_same(get_args(LazyMode))),
        "on|auto|off",
        "default: auto",
    ),
    _Flag(("--repack",), "repack", _words(_FLAGS), "0|1", "weights laid out for this processor"),
)


def add_measuring_flags(parser: argparse.ArgumentParser) -> None:
    """Describe them; none has a default, so that a preset can have it."""
    for flag in _LISTS:
        parser.add_argument(
            *flag.flags,
            dest=flag.name,
            action="append",
            type=_sentence(flag.read),
            metavar=flag.shown,
            help=flag.help,
        )
    parser.add_argument("-r", "--repetitions", type=_repetitions, metavar="N", help="default: 5")
    parser.add_argument("--delay", type=_delay, metavar="SECONDS", help="rest before each test (default: 0)")
    parser.add_argument("--no-warmup", dest="warm_up", action="store_false", help="the first one counts")
    parser.add_argument(
        "--prio", dest="priority", type=int, choices=sorted(PRIORITIES), help="of the engine's process"
    )
    parser.add_argument("--numa", choices=list(_NUMA), help="the engine's way with several processors")


def chosen_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of `Parameters` that somebody asked for."""
    given = vars(arguments)
    chosen: dict[str, Any] = {
        flag.name: tuple(chain.from_iterable(given[flag.name])) for flag in _LISTS if given[flag.name]
    }
    single = {name: given[name] for name in _SINGLE if given[name] is not None}
    return {**chosen, **single, "warm_up": arguments.warm_up}


def _sentence(read: Callable[[str], Iterable[Any]]) -> Callable[[str], tuple[Any, ...]]:
    """Let argparse say what is wrong with a value."""

    def checked(words: str) -> tuple[Any, ...]:
        try:
            return tuple(read(words))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _repetitions(words: str) -> int:
    return _number(words, 1, _MOST_REPETITIONS)


def _delay(words: str) -> int:
    return _number(words, 0, _LONGEST_DELAY)


def _number(words: str, least: int, most: int) -> int:
    if not words.isascii() or not words.isdigit() or not least <= int(words) <= most:
        raise argparse.ArgumentTypeError(f"“{words}” is not between {least} and {most}")
    return int(words)
