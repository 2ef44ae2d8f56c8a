from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.fit import FitSettings, Placing, budgets_of, estimate_memory, place, place_as
from localllm.core.machine import Gpu
from localllm.engine.experts import ALL_LAYERS
from tests.core import machines
from tests.core.machines import GIB, cpu, memory, nvidia

SETTINGS = FitSettings(8192)


def weights(catalogue, name, quant="Q4_K_M"):
    return catalogue.quants.get(quant).weight_bytes(catalogue.model(name).shape)


def placed(machine, catalogue, name, quant="Q4_K_M", settings=SETTINGS):
    return place(machine, catalogue.model(name).shape, weights(catalogue, name, quant), settings)


def test_all_on_a_gpu_that_is_large_enough(catalogue):
    placement, _, verdict = placed(machines.RTX_4090, catalogue, "qwen3-8b")
    assert (placement.kind, verdict) == ("gpu", "fits")
    assert placement.gpu_layers == 37


MOE = "qwen3-30b-a3b"


def placed_as(machine, catalogue, placing, name=MOE, of_experts=()):
    shape, size = catalogue.model(name).shape, weights(catalogue, name)
    return place_as(budgets_of(machine), shape, size, SETTINGS, placing, of_experts)


def test_experts_go_to_main_memory_first_and_no_more_than_must_be(catalogue):
    placement, _, verdict = placed(machines.RTX_4060, catalogue, MOE)
    assert (placement.kind, verdict) == ("experts_on_cpu", "partly_on_cpu")
    moved = placement.experts_layers_on_cpu
    assert 1 < moved < 48
    free = budgets_of(machines.RTX_4060).gpu.now
    fewer, _, _ = placed_as(machines.RTX_4060, catalogue, Placing(49, moved - 1))
    assert placement.gpu_bytes <= free < fewer.gpu_bytes


@given(
    name=st.sampled_from([MOE, "glm-4.7-flash", "gpt-oss-20b"]),
    gpu_layers=st.integers(1, 49),
    moved=st.integers(0, 49),
    sizes=st.one_of(st.none(), st.lists(st.integers(0, 2**28), min_size=48, max_size=48)),
)
def test_each_layer_whose_experts_move_takes_them_from_the_gpu_to_main_memory(
    catalogue, name, gpu_layers, moved, sizes
):
    layers = catalogue.model(name).shape.layers
    sizes = tuple(sizes[:layers]) if sizes else ()
    less, memory_less, _ = placed_as(machines.H100, catalogue, Placing(gpu_layers, moved), name, sizes)
    more, memory_more, _ = placed_as(machines.H100, catalogue, Placing(gpu_layers, moved + 1), name, sizes)
    assert more.gpu_bytes <= less.gpu_bytes or (less.kind, more.kind) == ("gpu", "experts_on_cpu")
    assert more.host_bytes >= less.host_bytes
    if less.kind == more.kind:
        assert memory_more == memory_less
        change = sizes[moved] if sizes and moved < layers and moved >= layers - gpu_layers + 1 else 0
        assert more.host_bytes - less.host_bytes == less.gpu_bytes - more.gpu_bytes
        assert not sizes or more.host_bytes - less.host_bytes == change


@pytest.mark.parametrize("name", [MOE, "glm-4.7-flash"])
def test_none_is_the_gpu_alone_and_all_layers_are_all_experts(catalogue, name):
    shape = catalogue.model(name).shape
    none, of_none, _ = placed_as(machines.H100, catalogue, Placing(99), name)
    assert (none.kind, none.experts_layers_on_cpu) == ("gpu", 0)
    whole, of_whole, _ = placed_as(machines.H100, catalogue, Placing(99, shape.layers), name)
    assert placed_as(machines.H100, catalogue, Placing(99, ALL_LAYERS), name)[0] == whole
    experts = weights(catalogue, name) * shape.expert_parameters // shape.parameters
    assert whole.host_bytes - none.host_bytes == pytest.approx(experts, abs=1)
    assert whole.gpu_bytes + experts == pytest.approx(
        none.gpu_bytes + of_whole.compute - of_none.compute, abs=2
    )


def test_dense_layers_come_before_those_with_experts(catalogue):
    name = "glm-4.7-flash"
    dense = catalogue.model(name).shape.dense_layers
    assert dense
    first, after = (placed_as(machines.H100, catalogue, Placing(99, n), name)[0] for n in (dense, dense + 1))
    none = placed_as(machines.H100, catalogue, Placing(99), name)[0]
    assert first.host_bytes == none.host_bytes < after.host_bytes


def test_where_experts_are_to_stay_with_their_layers_whole_layers_move(catalogue):
    placement, _, verdict = placed_as(machines.RTX_4060, catalogue, Placing(-1))
    assert (placement.kind, verdict) == ("partly_gpu", "partly_on_cpu")
    assert placement.experts_layers_on_cpu == 0


def test_a_dense_model_is_split_by_layers(catalogue):
    placement, memory_of, verdict = placed(machines.RTX_4060, catalogue, "qwen3-14b")
    assert (placement.kind, verdict) == ("partly_gpu", "partly_on_cpu")
    assert 1 < placement.gpu_layers < 41
    assert placement.gpu_bytes <= machines.RTX_4060.gpus[0].memory_free
    assert placement.gpu_bytes + placement.host_bytes == pytest.approx(memory_of.total, rel=0.02)


def test_a_gpu_that_the_engine_cannot_use_is_not_counted(catalogue):
    unusable = replace(machines.RTX_4090, gpus=(nvidia("RTX 4090", 24, 1008, usable=False),))
    placement, _, _ = placed(unusable, catalogue, "qwen3-8b")
    assert placement.kind == "cpu"
    assert budgets_of(unusable).gpu.now == 0


def test_two_gpus_hold_what_one_cannot(catalogue):
    name = "llama-3.3-70b-instruct"
    assert placed(machines.TWO_3090, catalogue, name)[0].kind == "gpu"
    one = replace(machines.TWO_3090, gpus=machines.TWO_3090.gpus[:1])
    assert placed(one, catalogue, name)[0].kind == "partly_gpu"


def test_unified_memory_is_counted_once(catalogue):
    placement, memory_of, verdict = placed(machines.M4_MAX, catalogue, "qwen3-32b")
    assert (placement.kind, verdict) == ("unified", "fits")
    assert placement.gpu_bytes + placement.host_bytes == memory_of.total
    budgets = budgets_of(machines.M4_MAX)
    assert budgets.gpu.now <= machines.M4_MAX.memory.available
    assert budgets_of(machines.M1).gpu.closed <= machines.M1.memory.total


def test_integrated_memory_is_main_memory():
    shared = budgets_of(machines.STRIX_HALO)
    assert shared.unified
    assert shared.gpu.now <= machines.STRIX_HALO.memory.available


def test_memory_set_aside_for_an_integrated_gpu_counts():
    gpu = Gpu("Radeon 8060S", "AMD", "integrated", 96 * GIB, 95 * GIB, 16 * GIB, usable=True)
    budgets = budgets_of(replace(machines.STRIX_HALO, gpus=(gpu,), memory=memory(31, 25)))
    assert budgets.gpu.now == 95 * GIB


def test_a_container_has_its_limit():
    budgets = budgets_of(machines.CONTAINER)
    assert budgets.host.now < 4 * GIB
    assert budgets.host.closed < 4 * GIB


def test_what_other_programs_hold_can_be_had_by_closing_them(catalogue):
    busy = replace(machines.REFERENCE, memory=memory(23.5, 3))
    placement, _, verdict = placed(busy, catalogue, "qwen3-8b")
    assert (placement.kind, verdict) == ("cpu", "needs_closing_apps")


def test_too_large_for_anything(catalogue):
    assert placed(machines.LAPTOP, catalogue, "llama-3.3-70b-instruct")[2] == "does_not_fit"


def test_nearly_all_of_the_memory_is_tight(catalogue):
    need = placed(machines.REFERENCE, catalogue, "qwen3-8b")[1].total
    barely = replace(machines.REFERENCE, memory=memory(23.5, need / GIB + 0.75))
    assert placed(barely, catalogue, "qwen3-8b")[2] == "tight"


def test_a_tied_output_is_stored_twice_with_a_gpu(catalogue):
    shape = catalogue.model("qwen3-0.6b").shape
    size = weights(catalogue, "qwen3-0.6b", "Q8_0")
    _, memory_of, _ = place(machines.H100, shape, size, SETTINGS)
    # measured: 604.15 MiB of the GPU's, the embedding's 157.65 on the host again
    assert memory_of.weights == pytest.approx((604.15 + 157.65) * 2**20, rel=0.01)


@pytest.mark.parametrize(
    ("name", "quant", "settings", "measured"),
    [
        ("qwen3-0.6b", "Q8_0", FitSettings(8192), 2142.8),
        ("llama-3.1-8b-instruct", "Q4_K_M", FitSettings(8192), 6152.8),
        ("qwen3-30b-a3b", "Q4_K_M", FitSettings(8192), 19092.8),
        ("llama-3.1-8b-instruct", "Q4_K_M", FitSettings(32768, kv_type_k="q8_0", kv_type_v="q8_0"), 7380.8),
        ("llama-3.1-8b-instruct", "Q4_K_M", FitSettings(32768, outputs_max=0), 9366.8),
        ("llama-3.1-8b-instruct", "Q4_K_M", FitSettings(32768, ubatch=2048), 9688.8),
        ("llama-3.1-8b-instruct", "Q4_K_M", FitSettings(32768), 9249.0),
        ("llama-3.1-8b-instruct", "Q4_K_M", FitSettings(32768, kv_type_k="q4_0", kv_type_v="q4_0"), 6357.0),
        ("llama-3.1-8b-instruct", "Q4_K_M", FitSettings(8192, flash_attention=False), 6933.0),
        ("qwen3-30b-a3b", "Q4_K_M", FitSettings(32768), 21421.0),
    ],
)
def test_never_under_the_peak_measured_on_an_h100(catalogue, name, quant, settings, measured):
    placement, _, _ = placed(machines.H100, catalogue, name, quant, settings)
    ratio = placement.gpu_bytes / 2**20 / measured
    assert 1.0 <= ratio <= 1.05, f"{ratio:.3f} of the peak that NVML saw"


@pytest.mark.parametrize(
    ("name", "quant", "measured"),
    [
        ("qwen3-0.6b", "Q8_0", 675 + 158),
        ("qwen3-0.6b", "Q6_K", 466 + 122),
        ("llama-3.1-8b-instruct", "Q8_0", 8499 + 533),
        ("llama-3.1-8b-instruct", "Q4_K_M", 4491 + 283),
        ("qwen3-30b-a3b", "Q8_0", 1378 + 29740),
    ],
)
def test_what_amx_tiles_take(catalogue, name, quant, measured):
    """MiB of weights that llama.cpp's dry run books on a processor with AMX."""
    tiles = replace(machines.REFERENCE, cpu=cpu(2, (*machines.AVX512, "amx_int8")), memory=memory(64, 60))
    assert placed(tiles, catalogue, name, quant)[1].weights / 2**20 == pytest.approx(measured, rel=0.01)


def test_a_tied_output_is_stored_twice_where_weights_are_packed_anew(catalogue):
    plain, neon = (
        placed(replace(machines.REFERENCE, cpu=cpu(4, features)), catalogue, "qwen3-0.6b", "Q8_0")[1].weights
        for features in (machines.AVX2, machines.NEON)
    )
    assert neon - plain == pytest.approx(157.65 * 2**20, rel=0.01)


@given(
    total=st.floats(1, 1024),
    used=st.floats(0, 1),
    gpu=st.one_of(st.none(), st.floats(1, 96)),
    context=st.integers(256, 262144),
    size=st.integers(10**8, 10**12),
)
def test_what_is_said_to_fit_fits(catalogue, total, used, gpu, context, size):
    gpus = (nvidia("GPU", gpu, 500),) if gpu else ()
    machine = replace(
        machines.REFERENCE, cpu=cpu(4, ("avx2",)), memory=memory(total, total * used), gpus=gpus
    )
    shape = catalogue.model("qwen3-30b-a3b").shape
    settings = FitSettings(context)
    placement, memory_of, verdict = place(machine, shape, size, settings)
    budgets = budgets_of(machine)
    if verdict in ("fits", "tight", "partly_on_cpu"):
        assert placement.host_bytes <= budgets.host.now <= machine.memory.available
        assert placement.gpu_bytes <= budgets.gpu.now
    assert memory_of.total >= estimate_memory(shape, size, settings).total - memory_of.overhead


def test_several_gpus_hold_four_batches_at_a_time_unless_the_cpu_takes_part(catalogue):
    shape = catalogue.model("llama-3.3-70b-instruct").shape
    settings = FitSettings(32768)
    two = budgets_of(machines.TWO_3090)
    one = replace(two, gpus=two.gpus[:1])
    whole, alone = (
        place_as(budgets, shape, 40 * GIB, settings, Placing(99))[1].compute for budgets in (two, one)
    )
    mask, hidden = 2 * 32768 * 512, 4 * 8192 * 512
    assert whole == 2 * (alone + 3 * (mask + hidden))
    partly = place_as(two, shape, 40 * GIB, settings, Placing(40))[1].compute
    assert 2 * alone < partly < whole
