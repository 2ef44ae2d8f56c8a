from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.core.fit import budgets_of
from localllm.core.quality import USES
from localllm.core.recommend import Wish, choices_of, recommend
from tests.core import machines
from tests.core.machines import memory

EVERY = pytest.mark.parametrize("machine", machines.EVERY.values(), ids=machines.EVERY.keys())


def picks(recommendation):
    return [pick for pick in (recommendation.best, recommendation.balanced, recommendation.fast) if pick]


def context_of(use):
    return 512 if use == "embedding" else 8192


def check(machine, recommendation):
    """What must hold for any computer."""
    chosen = picks(recommendation)
    assert len({pick.model.id for pick in chosen}) == len(chosen)
    speeds = [pick.pace for pick in chosen]
    assert speeds == sorted(speeds)
    budgets = budgets_of(machine)
    for pick in chosen:
        assert pick.pace >= recommendation.wish.pace.least
        assert pick.model.context_length >= recommendation.wish.context_length
        assert pick.verdict != "does_not_fit"
        if pick.verdict == "needs_closing_apps":
            assert "close other programs first" in str(pick.reason)
        else:
            assert pick.placement.host_bytes <= budgets.host.now
            assert pick.placement.gpu_bytes <= budgets.gpu.now
    reasons = [choice.why_not is None for choice in recommendation.ranked]
    assert reasons == sorted(reasons, reverse=True), "what is usable comes first"
    assert len({choice.model.id for choice in recommendation.ranked}) == len(recommendation.ranked)


@EVERY
@pytest.mark.parametrize("use", USES)
def test_every_computer_and_use(catalogue, machine, use):
    recommendation = recommend(machine, catalogue, Wish(use, context_of(use)))
    check(machine, recommendation)
    assert recommendation.best or use in ("vision", "reasoning", "multilingual")
    assert len(recommendation.ranked) >= (12 if use == "embedding" else 20)


@EVERY
def test_three_picks_for_everybody(catalogue, machine):
    found = picks(recommend(machine, catalogue, Wish()))
    # on one core nothing small is faster than the second with 2048 tokens in the context
    assert len(found) == (2 if machine.cpu.usable_cores == 1 else 3)


@EVERY
def test_the_best_pick_is_recent_and_not_wasteful(catalogue, machine):
    best = recommend(machine, catalogue, Wish()).best
    assert best.model.release >= "2025"
    assert best.quant not in ("F16", "Q2_K")


def test_a_weak_processor_gets_experts_where_memory_allows(catalogue):
    weak = replace(machines.REFERENCE, cpu=machines.cpu(3, machines.AVX512), memory_bandwidth=30e9)
    best = recommend(weak, catalogue, Wish()).best
    assert best.model.shape.experts
    small = recommend(replace(machines.REFERENCE, memory=memory(8, 6)), catalogue, Wish()).best
    assert small.model.parameters < 5e9


def test_a_4_bit_file_of_a_better_model_beats_8_bits_of_a_worse_one(catalogue):
    recommendation = recommend(machines.RTX_4060, catalogue, Wish())
    place = {choice.model.id: rank for rank, choice in enumerate(recommendation.ranked)}
    assert place["qwen3.5-9b"] < place["qwen3.5-2b"]
    assert place["qwen3-8b"] < place["qwen3-1.7b"]


def test_a_larger_context_takes_more_and_excludes_short_ones(catalogue):
    recommendation = recommend(machines.RTX_4090, catalogue, Wish(context_length=65536))
    check(machines.RTX_4090, recommendation)
    rows = {choice.model.id: choice for choice in recommendation.ranked}
    assert "8192 tokens" in str(rows["smollm2-135m-instruct"].why_not)


def test_what_is_not_usable_says_why(catalogue):
    recommendation = recommend(machines.LAPTOP, catalogue, Wish())
    rows = {choice.model.id: choice for choice in recommendation.ranked}
    huge, busy = (
        rows["deepseek-r1-0528"] if "deepseek-r1-0528" in rows else rows["glm-4.7"],
        rows["qwen3.5-9b"],
    )
    assert huge.verdict == "does_not_fit"
    assert "does not fit" in str(huge.why_not)
    assert "Too slow" in str(busy.why_not)


def test_programs_to_close_are_named_when_nothing_fits_beside_them(catalogue):
    full = replace(machines.REFERENCE, memory=memory(8, 0.4))
    recommendation = recommend(full, catalogue, Wish())
    check(full, recommendation)
    assert recommendation.best.verdict == "needs_closing_apps"


def test_vision_counts_the_projector(catalogue):
    model = catalogue.model("gemma-3-4b-it")
    seeing, chatting = (
        {choice.quant: choice for choice in choices_of(machines.RTX_4090, catalogue, model, Wish(use))}
        for use in ("vision", "chat")
    )
    extra = seeing["Q4_K_M"].memory.weights - chatting["Q4_K_M"].memory.weights
    assert extra >= model.projector_size > 5e8


def test_settings_suit_the_computer(catalogue):
    best = recommend(machines.RTX_4060, catalogue, Wish()).best
    assert best.settings.threads == 8
    assert best.settings.experts_layers_on_cpu == best.placement.experts_layers_on_cpu
    assert best.settings.gpu_layers == best.placement.gpu_layers > 0
    assert (best.settings.flash_attention, best.settings.outputs_max, best.settings.swa_full) == (
        True,
        1,
        False,
    )
    assert recommend(machines.REFERENCE, catalogue, Wish()).best.settings.gpu_layers == 0


@settings(deadline=None, max_examples=40)
@given(
    cores=st.integers(1, 64),
    total=st.floats(0.5, 512),
    free=st.floats(0, 1),
    gpu=st.one_of(st.none(), st.floats(2, 96)),
    bandwidth=st.one_of(st.none(), st.floats(5e9, 5e11)),
    context=st.sampled_from([512, 8192, 131072]),
    use=st.sampled_from(USES),
)
def test_any_computer(catalogue, cores, total, free, gpu, bandwidth, context, use):
    machine = replace(
        machines.REFERENCE,
        cpu=machines.cpu(cores, machines.AVX2),
        memory=memory(total, total * free),
        gpus=(machines.nvidia("GPU", gpu, 400, gpu * free),) if gpu else (),
        memory_bandwidth=bandwidth,
    )
    kv_type = "auto" if bandwidth else "q8_0"
    check(machine, recommend(machine, catalogue, Wish(use, context, kv_type)))
