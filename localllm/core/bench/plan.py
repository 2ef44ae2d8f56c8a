"""The matrix of what is measured: configurations, each with its tests, in llama-bench's order."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localllm.engine.benches import BenchSettings
from localllm.engine.protocol import BenchTest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from localllm.core.bench.parameters import Flash, Parameters


# the lists of `Parameters` in llama-bench's order, so that a model is loaded as seldom as can be, and what
# each is in `BenchSettings`
_WEIGHTS = {
    "gpu_layers": "gpu_layers", "expert_layers": "experts_layers_on_cpu", "split_modes": "split_mode",
    "load_modes": "load_mode", "lazy_modes": "lazy_mode", "main_gpus": "main_gpu", "devices": "devices",
    "tensor_splits": "tensor_split", "overrides": "overrides", "no_host": "no_host",
}  # fmt: skip
_CONTEXT = {
    "embeddings": "embeddings", "no_op_offload": "no_op_offload", "batches": "batch", "ubatches": "ubatch",
    "kv_types_k": "kv_type_k", "kv_types_v": "kv_type_v", "no_kv_offload": "no_kv_offload",
}  # fmt: skip
_PROCESSORS = {"threads": "threads", "cpu_masks": "cpu_mask", "cpu_strict": "cpu_strict", "polls": "poll"}


@dataclass(frozen=True)
class BenchedModel:
    """A model to measure; `hash` is its SHA-256, "" = not known."""

    path: Path
    name: str
    hash: str = ""


@dataclass(frozen=True)
class Configuration:
    """A model loaded in one way, and what is measured with it.

    Attributes:
        repack: As somebody asked for; None leaves it to what this computer can.
    """

    model: BenchedModel
    settings: BenchSettings
    flash: Flash
    repack: bool | None
    tests: tuple[BenchTest, ...]


def make_plan(models: Iterable[BenchedModel], wanted: Parameters, cores: int) -> tuple[Configuration, ...]:
    """Return every combination; models are loaded as seldom as can be.

    Args:
        models: In the order in which they are measured.
        wanted: What is asked for.
        cores: That may be used: what 0 threads mean.
    """
    tests = _tests(wanted)
    if not tests:
        return ()
    every = BenchSettings(
        priority=wanted.priority, numa=wanted.numa, warm_up=wanted.warm_up, delay=wanted.delay
    )
    return tuple(
        Configuration(model, _with(every, weights, context, _flash(flash), processors), flash, repack, tests)
        for model in models
        for weights, repack in itertools.product(_ways(wanted, _WEIGHTS), wanted.repack)
        for context, flash in itertools.product(_ways(wanted, _CONTEXT), wanted.flash)
        for processors in _ways(wanted, _PROCESSORS, threads=cores)
    )


def _ways(wanted: Parameters, names: Mapping[str, str], threads: int = 0) -> list[dict[str, Any]]:
    """Return every combination of these lists as values of `BenchSettings`; 0 threads mean `threads`."""
    values = itertools.product(*(getattr(wanted, name) for name in names))
    ways = [dict(zip(names.values(), each, strict=True)) for each in values]
    return [{**way, "threads": way["threads"] or threads} if "threads" in way else way for way in ways]


def _flash(wanted: Flash) -> dict[str, Any]:
    return {"flash_attention": wanted != "off", "require_flash_attention": wanted == "on"}


def _with(settings: BenchSettings, *changes: dict[str, Any]) -> BenchSettings:
    return dataclasses.replace(settings, **{name: value for each in changes for name, value in each.items()})


def _tests(wanted: Parameters) -> tuple[BenchTest, ...]:
    """Return the tests of one configuration: at each depth prompts, then generation, then both."""
    amounts = [(tokens, 0) for tokens in wanted.prompts]
    amounts += [(0, tokens) for tokens in wanted.generated]
    amounts += wanted.pairs
    return tuple(
        BenchTest(read, written, depth, wanted.repetitions, sequences)
        for depth in wanted.depths
        for sequences in wanted.sequences
        for read, written in amounts
        if read or written
    )
