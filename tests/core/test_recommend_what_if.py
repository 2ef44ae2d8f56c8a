import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.core.fit import FitSettings, budgets_of, estimate_memory
from localllm.core.hardware.gpu_table import GpuTable
from localllm.core.machine import Machine
from localllm.core.recommend import (
    WhatIf,
    Wish,
    gpu_names,
    hardware_needed,
    hypothetical_machine,
    recommend,
    serving_plans,
)
from localllm.core.recommend.needs import unpacked_gpus, usual_gpus
from localllm.core.recommend.what_if import near_names
from localllm.errors import UsageError
from tests.core import machines

GIB = 2**30
TABLE = GpuTable.load()
NAMES = [name for name, _ in gpu_names(TABLE)]


def test_the_table_is_large_and_says_what_it_knows():
    assert len(NAMES) >= 250
    assert sum(row.vendor == "Apple" for _, row in gpu_names(TABLE)) >= 20
    for name, row in gpu_names(TABLE):
        assert row.bandwidth > 0
        assert row.sources
        assert row.memory or row.kind != "discrete" or "GB" in name, name


def test_every_name_that_is_listed_is_understood():
    for name, row in gpu_names(TABLE):
        machine = hypothetical_machine(WhatIf(name, memory=64 * GIB), TABLE, machines.REFERENCE)
        [gpu] = machine.gpus
        assert gpu.vendor == row.vendor, name
        assert gpu.kind == row.kind, name
        assert gpu.bandwidth <= row.bandwidth, name
        budgets = budgets_of(machine)
        assert budgets.gpu.now > 0, name
        assert budgets.unified == (row.kind != "discrete"), name
        assert budgets.whole(closed=True) <= 64 * GIB + (row.memory or 0), name


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from([None, "none", *NAMES]),
    count=st.integers(1, 8),
    memory=st.one_of(st.none(), st.integers(GIB // 2, 4096 * GIB)),
    base=st.sampled_from(list(machines.EVERY.values())),
)
def test_any_other_computer_is_a_computer(name, count, memory, base):
    machine = hypothetical_machine(WhatIf(name, count, memory), TABLE, base)
    assert Machine.from_json(json.dumps(machine.to_json())) == machine
    budgets = budgets_of(machine)
    assert 0 <= budgets.host.now <= machine.memory.total
    if name == "none":
        assert not machine.gpus
    elif name and machine.gpus[0].kind == "discrete":
        assert len(machine.gpus) == count


def test_more_of_it_is_better(catalogue):
    def best(what):
        return recommend(hypothetical_machine(what, TABLE, machines.LAPTOP), catalogue, Wish()).best

    assert best(WhatIf("RTX 4090", 2, 64 * GIB)).quality.score >= best(WhatIf("RTX 3060 12 GB")).quality.score
    assert best(WhatIf("Apple M4 Max", memory=128 * GIB)).placement.kind == "unified"
    assert best(WhatIf("none", memory=64 * GIB)).placement.kind == "cpu"


def test_an_apple_chip_has_as_much_as_the_computer():
    machine = hypothetical_machine(WhatIf("Apple M4 Max", memory=64 * GIB), TABLE, machines.REFERENCE)
    assert machine.gpus[0].memory_total == 48 * GIB
    assert machine.cpu.name == "Apple M4 Max"


def test_the_size_in_a_name_counts():
    jetson = hypothetical_machine(WhatIf("Jetson AGX Orin 64 GB"), TABLE, machines.LAPTOP)
    assert jetson.memory.total == 64 * GIB


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("RTX 9090", "RTX 5090"),
        ("H100", "H100 SXM5 80 GB"),
        ("geforce 4080", "RTX 4080"),
        ("Apple M9", "Apple M4"),
    ],
)
def test_near_names(name, near):
    assert any(near in shown for shown in near_names(TABLE, name))
    with pytest.raises(UsageError) as caught:
        hypothetical_machine(WhatIf(name), TABLE, machines.LAPTOP)
    assert name in str(caught.value)
    assert "Did you mean" in str(caught.value.hint)


def test_a_name_like_no_other():
    with pytest.raises(UsageError) as caught:
        hypothetical_machine(WhatIf("Voodoo"), TABLE, machines.LAPTOP)
    assert "--list-gpus" in str(caught.value.hint)


@pytest.mark.parametrize("what", [WhatIf("RTX 4090", 0), WhatIf("RTX 4090", 65), WhatIf(memory=5)])
def test_numbers_that_make_no_sense(what):
    with pytest.raises(UsageError):
        hypothetical_machine(what, TABLE, machines.LAPTOP)


def needs(catalogue, name, **wish):
    return hardware_needed(machines.LAPTOP, TABLE, catalogue.model(name), Wish(**wish))


def test_the_seventy_billion_of_the_course_take_two_cards_of_80_gb(catalogue):
    """The course notes: Llama 3.1 70B in FP16 is 168 GB by parameters x 2 x 1.2, so two A100 of 80 GB."""
    model = catalogue.model("llama-3.3-70b-instruct")  # of the same dimensions
    found = hardware_needed(machines.LAPTOP, TABLE, model, Wish())
    assert (found.unpacked.count, found.unpacked.memory) == (2, 80 * GIB)
    whole = estimate_memory(model.shape, 2 * model.parameters, FitSettings(8192))
    assert 80 * GIB < whole.total < 160 * GIB, "more than one card, less than two"
    by_course = model.parameters * 2 * 1.2
    assert by_course / 1e9 == pytest.approx(168, rel=0.02)
    single = found.gpus[0]
    assert (single.count, found.quant) == (1, "Q4_K_M")
    assert single.memory <= 80 * GIB, "four bits fit on one"


def test_one_of_eight_billion_takes_one_card_of_24_gb(catalogue):
    """The course notes: 8B in FP16 is 19.2 GB: one card of 24 GB; in 4 bits 4.8 GB."""
    found = needs(catalogue, "llama-3.1-8b-instruct")
    assert (found.unpacked.count, found.unpacked.memory) == (1, 24 * GIB)
    assert found.gpus[0].memory <= 12 * GIB
    assert found.memory == 8 * GIB


def test_what_is_needed_is_enough_and_no_more(catalogue):
    model = catalogue.model("qwen3-32b")
    found = hardware_needed(machines.LAPTOP, TABLE, model, Wish())
    assert [option.count for option in found.gpus] == sorted(option.count for option in found.gpus)
    assert [option.memory for option in found.gpus] == sorted((o.memory for o in found.gpus), reverse=True)
    sizes = sorted({row.memory for row in usual_gpus(TABLE)})
    for option in found.gpus:
        machine = hypothetical_machine(WhatIf(option.name, option.count, 128 * GIB), TABLE, machines.LAPTOP)
        rows = {row.model.id: row for row in recommend(machine, catalogue, Wish()).ranked}
        assert rows[model.id].placement.kind == "gpu", option
        smaller = [size for size in sizes if size < option.memory]
        assert not smaller or option.count * smaller[-1] < 1.25 * found.need, option
    assert found.memory_speed.tokens_per_second < found.gpus[0].speed.tokens_per_second


def test_the_largest_of_all(catalogue):
    found = needs(catalogue, "deepseek-r1-0528")
    assert found.need > 350 * GIB
    assert found.memory >= 384 * GIB
    assert found.gpus[0].count >= 4


def test_a_longer_context_needs_more(catalogue):
    short, long = (needs(catalogue, "qwen3-32b", context_length=length) for length in (4096, 131072))
    assert long.need > short.need
    assert long.gpus[0].memory > short.gpus[0].memory


def test_commands_to_serve(catalogue):
    found = needs(catalogue, "llama-3.3-70b-instruct")
    plans = {plan.engine: plan for plan in serving_plans(found, Wish(), budgets_of(machines.REFERENCE))}
    assert plans["vllm"].commands[0].line == (
        "vllm serve meta-llama/Llama-3.3-70B-Instruct --tensor-parallel-size 2 --max-model-len 8192"
        " --gpu-memory-utilization 0.90"
    )
    assert "Accept the terms" in str(plans["vllm"].notes[1])
    worker, main = plans["llama.cpp"].commands
    assert worker.line == "ggml-rpc-server --host 0.0.0.0 --port 50052"
    servers = main.line.split("--rpc ")[1].split()[0].split(",")
    assert len(servers) + 1 == -(-found.need // budgets_of(machines.REFERENCE).whole(closed=True))
    assert main.line.startswith("llama-server -hf bartowski/Llama-3.3-70B-Instruct-GGUF:Q4_K_M --rpc ")


def test_commands_follow_the_wish(catalogue):
    wish = Wish(context_length=200_000, kv_type="q8_0")
    found = hardware_needed(machines.LAPTOP, TABLE, catalogue.model("qwen3-32b"), wish)
    [vllm, rpc] = serving_plans(found, wish, budgets_of(machines.LAPTOP))
    trained = catalogue.model("qwen3-32b").context_length
    assert f"--max-model-len {trained}" in vllm.commands[0].line
    assert f"--ctx-size {trained}" in rpc.commands[1].line
    assert "--cache-type-k q8_0 --cache-type-v q8_0" in rpc.commands[1].line
    embedding = hardware_needed(machines.LAPTOP, TABLE, catalogue.model("bge-m3"), Wish("embedding", 512))
    [only] = serving_plans(embedding, Wish("embedding", 512), budgets_of(machines.LAPTOP))
    assert only.commands[1].line.endswith("--embeddings")


def test_cards_split_the_heads_evenly(catalogue):
    for model in catalogue.models:
        option = unpacked_gpus(TABLE, model, FitSettings(8192))
        if option:
            assert model.shape.heads % option.count == 0
            assert option.count * option.memory * 0.9 > 2 * model.parameters


def test_no_plan_over_computers_that_have_no_memory(catalogue):
    nothing = replace(machines.RASPBERRY_PI, memory=machines.memory(0.5, 0.1))
    plans = serving_plans(needs(catalogue, "llama-3.3-70b-instruct"), Wish(), budgets_of(nothing))
    assert [plan.engine for plan in plans] == ["vllm"]
