"""The matrix of what is measured: configurations, each with its tests, in llama-bench's order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.engine.benches import BenchSettings
from localllm.engine.protocol import BenchTest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from localllm.core.bench.parameters import Flash, Parameters


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
    return tuple(
        Configuration(
            model,
            BenchSettings(
                threads=count or cores,
                gpu_layers=layers,
                batch=batch,
                ubatch=ubatch,
                kv_type_k=keys,
                kv_type_v=values,
                flash_attention=flash != "off",
                require_flash_attention=flash == "on",
                experts_layers_on_cpu=experts,
                load_mode=mode,
            ),
            flash,
            repack,
            tests,
        )
        for model in models
        for layers, experts in itertools.product(wanted.gpu_layers, wanted.expert_layers)
        for mode, repack in itertools.product(wanted.load_modes, wanted.repack)
        for batch, ubatch in itertools.product(wanted.batches, wanted.ubatches)
        for keys, values in itertools.product(wanted.kv_types_k, wanted.kv_types_v)
        for flash, count in itertools.product(wanted.flash, wanted.threads)
    )


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
