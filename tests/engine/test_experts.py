"""Experts in main memory: which tensors that means, and that a model with some of them there answers alike."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.convert.checkpoint import open_checkpoint
from localllm.core.convert.conversion import make_ready, write_file
from localllm.core.convert.plan import make_plan
from localllm.core.estimate import subject_of_file
from localllm.engine.experts import ALL_LAYERS, AUTOMATIC, experts_pattern, layer_of_experts
from localllm.engine.protocol import ChatMessage, DryRun, Finished, Piece, Sampling
from localllm.gguf import read_header
from localllm.progress import Progress
from tests.core.convert import checkpoints
from tests.engine.conftest import PLAIN

LAYERS = 2
GREEDY = Sampling(temperature=0.0, max_tokens=8, seed=1)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """A model of two layers, each with four experts."""
    folder = tmp_path_factory.mktemp("mixture")
    path = folder / "mixture.gguf"
    checkpoint = open_checkpoint(checkpoints.write("mixtral", folder))
    write_file(make_ready(make_plan(checkpoint, "f16")), path, Progress())
    return path


@given(st.integers(1, ALL_LAYERS), st.integers(0, ALL_LAYERS), st.sampled_from(["up", "gate_up", "down"]))
def test_experts_of_the_first_layers_and_no_others_are_meant(layers, layer, part):
    pattern = experts_pattern(layers)
    for name, wanted in (
        (f"blk.{layer}.ffn_{part}_exps.weight", layer < layers or layers == ALL_LAYERS),
        (f"blk.{layer}.ffn_{part}_chexps.bias", layer < layers or layers == ALL_LAYERS),
        (f"blk.{layer}.ffn_{part}_shexp.weight", False),
        (f"blk.{layer}.ffn_{part}.weight", False),
        (f"blk.{layer}.ffn_gate_inp.weight", False),
    ):
        assert bool(re.search(pattern, name)) is wanted
        assert layer_of_experts(name) in ((layer,) if "exps" in name else (None,))


def test_a_model_with_experts_in_main_memory_answers_as_without(engine, mixture):
    def answer(moved):
        settings = replace(PLAIN, experts_layers_on_cpu=moved)
        engine.load(mixture, settings)
        events = list(engine.generate([ChatMessage("user", "What do experts know?")], GREEDY))
        (finished,) = (event for event in events if isinstance(event, Finished))
        assert 0 < finished.stats.completion_tokens <= GREEDY.max_tokens
        return "".join(event.text for event in events if isinstance(event, Piece))

    alone = answer(0)
    assert [answer(moved) for moved in (AUTOMATIC, 1, ALL_LAYERS)] == 3 * [alone]


def test_a_dry_run_counts_the_weights_wherever_experts_are(engine, mixture):
    """Here all is main memory: nothing is lost, and nothing is counted twice."""
    header = read_header(mixture)
    weights = [
        sum(device.weights for device in engine.dry_run(mixture, DryRun(256, experts_layers_on_cpu=moved)))
        for moved in range(LAYERS + 1)
    ]
    assert len(set(weights)) == 1
    assert weights[0] >= header.weight_bytes
    sizes = [
        sum(t.size for t in header.tensors if f"blk.{n}.ffn" in t.name and "exps" in t.name) for n in (0, 1)
    ]
    assert list(subject_of_file(mixture).of_experts) == sizes
    assert min(sizes) > 0
