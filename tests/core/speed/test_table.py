"""Predictions against what was measured."""

from dataclasses import replace

import pytest

from localllm.core.fit import FitSettings, Placement, place
from localllm.core.speed import predict_speed
from tests.core import machines

AT_ONCE = FitSettings(64)  # the start of a chat: hardly any cache to read
LLAMA = "llama-3.1-8b-instruct"
MOE = "qwen3-30b-a3b"


def predict(machine, catalogue, name, quant, placement=None, *, settings=AT_ONCE):
    shape = catalogue.model(name).shape
    weights = catalogue.quants.get(quant).weight_bytes(shape)
    placement = placement or place(machine, shape, weights, settings)[0]
    return predict_speed(machine, shape, weights, placement, settings)


# two cores of a Xeon with AVX512-VNNI; an H100 with eight threads, all and part of the layers on it
MEASURED = [
    (machines.REFERENCE, "smollm2-135m-instruct", "Q4_1", None, 109.5, 320),
    (machines.REFERENCE, "qwen3-0.6b", "Q8_0", None, 19.95, 154),
    (machines.REFERENCE, "llama-3.2-1b-instruct", "Q4_K_M", None, 15.6, 142),
    (machines.H100, "qwen3-0.6b", "Q8_0", None, 703, 47527),
    (machines.H100, LLAMA, "Q4_K_M", None, 263, 9892),
    (machines.H100, MOE, "Q4_K_M", None, 293, 10626),
    (machines.H100, "qwen3-0.6b", "Q8_0", Placement("partly_gpu", 14, 0, 0), 121, None),
    (machines.H100, LLAMA, "Q4_K_M", Placement("partly_gpu", 16, 0, 0), 17.8, 1401),
    (machines.H100, MOE, "Q4_K_M", Placement("partly_gpu", 24, 0, 0), 34.3, 958),
    (machines.H100, MOE, "Q4_K_M", Placement("experts_on_cpu", 49, 0, 0, 48), 29.2, 687),
]


@pytest.mark.parametrize("measurement", MEASURED)
def test_against_measurements(catalogue, measurement):
    machine, name, quant, placement, measured, prompt = measurement
    speed = predict(machine, catalogue, name, quant, placement)
    assert speed.tokens_per_second == pytest.approx(measured, rel=0.20)
    assert speed.low <= measured <= speed.high
    if prompt:
        assert speed.prompt_tokens_per_second == pytest.approx(prompt, rel=0.55)


def test_half_of_the_measurements_are_met_within_ten_percent(catalogue):
    errors = sorted(
        abs(predict(machine, catalogue, name, quant, placement).tokens_per_second / measured - 1)
        for machine, name, quant, placement, measured, _ in MEASURED
    )
    assert errors[len(errors) // 2] <= 0.10


def test_a_long_context_is_slower(catalogue):
    short, long = (
        predict(machines.H100, catalogue, LLAMA, "Q4_K_M", settings=FitSettings(context))
        for context in (256, 32768)
    )
    # measured at a depth of 8192 tokens, a quarter of that: 231 instead of 263
    assert long.tokens_per_second / short.tokens_per_second == pytest.approx(231 / 263, rel=0.05)


def test_a_long_context_is_much_slower_on_a_cpu(catalogue):
    # two cores of a Xeon with AVX512-VNNI, without repacked weights: 55 tokens/s at once, 16.7 at this depth
    long = predict(
        machines.REFERENCE, catalogue, "smollm2-135m-instruct", "Q4_1", settings=FitSettings(4 * 2056)
    )
    assert long.low <= 16.7 <= long.high


def test_the_layers_on_the_cpu_decide(catalogue):
    full = predict(machines.H100, catalogue, LLAMA, "Q4_K_M").tokens_per_second
    half = predict(
        machines.H100, catalogue, LLAMA, "Q4_K_M", Placement("partly_gpu", 17, 0, 0)
    ).tokens_per_second
    none = predict(machines.H100, catalogue, LLAMA, "Q4_K_M", Placement("cpu", 0, 0, 0)).tokens_per_second
    assert none < half < 2.5 * none < full / 5


def test_two_gpus_share_the_layers(catalogue):
    one = predict(machines.RTX_4090, catalogue, LLAMA, "Q4_K_M").tokens_per_second
    slow = replace(machines.RTX_4090.gpus[0], name="slow", bandwidth=200e9)
    both = replace(machines.RTX_4090, gpus=(machines.RTX_4090.gpus[0], slow))
    mixed = predict(both, catalogue, LLAMA, "Q4_K_M").tokens_per_second
    assert predict(machines.TWO_3090, catalogue, LLAMA, "Q4_K_M").tokens_per_second < one
    assert mixed < 0.6 * one


def test_memory_bounds_many_cores(catalogue):
    many = replace(machines.REFERENCE, cpu=machines.cpu(64, machines.AVX512))
    speed = predict(many, catalogue, LLAMA, "Q4_K_M").tokens_per_second
    assert speed < 22e9 / 4.5e9


def test_what_is_not_known_widens_the_interval(catalogue):
    unknown = replace(machines.REFERENCE, memory_bandwidth=None)
    wide, narrow = (predict(machine, catalogue, LLAMA, "Q4_K_M") for machine in (unknown, machines.REFERENCE))
    assert wide.high / wide.low > narrow.high / narrow.low
    assert (wide.basis, narrow.basis) == ("table", "table")
