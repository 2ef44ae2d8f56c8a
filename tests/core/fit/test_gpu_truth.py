"""Figures for a GPU against the peaks that NVML saw on an H100 (llama-cpp-python 0.3.36, CUDA build).

`dry` is the dry run's sum of weights, cache and compute on the GPU, `peak` the graphics memory of the process
after prompts; both in MiB. At 32768 tokens the prompt had 2048: without flash attention a full context takes
more, for the scores are stored once more in half precision.
"""

from dataclasses import dataclass

import pytest

from localllm.core.fit import FitSettings, Placing, budgets_of, place_as
from localllm.core.fit.placement import driver_share
from tests.core import machines

MIB = 2**20
SMALL, DENSE, EXPERTS = (
    ("qwen3-0.6b", "Q8_0"),
    ("llama-3.1-8b-instruct", "Q4_K_M"),
    ("qwen3-30b-a3b", "Q4_K_M"),
)
ALL = Placing(99)


@dataclass(frozen=True)
class Seen:
    model: tuple[str, str]
    placing: Placing
    settings: FitSettings
    dry: float
    peak: float


SEEN = (
    Seen(SMALL, ALL, FitSettings(8192), 1534.2, 2142.8),
    Seen(SMALL, Placing(14), FitSettings(8192), 851.1, 1478.8),
    Seen(SMALL, ALL, FitSettings(32768, outputs_max=0), 4486.9, 5094.8),
    Seen(DENSE, ALL, FitSettings(8192), 5543.5, 6152.8),
    Seen(DENSE, Placing(16), FitSettings(8192), 2905.7, 3534.8),
    Seen(DENSE, ALL, FitSettings(32768, flash_attention=False), 10647.5, 11412.8),
    Seen(DENSE, ALL, FitSettings(32768, kv_type_k="q8_0", kv_type_v="q8_0"), 6771.6, 7380.8),
    Seen(DENSE, ALL, FitSettings(32768, kv_type_k="q8_0", kv_type_v="q4_0"), 6259.6, 6868.8),
    Seen(DENSE, ALL, FitSettings(32768, outputs_max=0), 8758.0, 9366.8),
    Seen(DENSE, ALL, FitSettings(32768, ubatch=2048), 9059.5, 9688.8),
    Seen(EXPERTS, ALL, FitSettings(8192), 18384.4, 19092.8),
    Seen(EXPERTS, Placing(24), FitSettings(8192), 9162.8, 9898.8),
    Seen(EXPERTS, Placing(99, 99), FitSettings(8192), 1777.9, 2488.8),
)


@pytest.mark.parametrize("seen", SEEN, ids=lambda seen: f"{seen.model[0]} {seen.placing} {seen.dry}")
def test_never_under_the_peak_and_hardly_over_it(catalogue, seen):
    name, quant = seen.model
    shape, budgets = catalogue.model(name).shape, budgets_of(machines.H100)
    weights = catalogue.quants.get(quant).weight_bytes(shape)
    drivers = driver_share(budgets.gpus, shape, seen.settings)
    most = 1.03 if seen.settings.flash_attention else 1.1
    exact = (seen.dry * MIB + drivers) / (seen.peak * MIB)
    assert 1.0 <= exact <= most, "of the peak, by the dry run"
    placement, _, _ = place_as(budgets, shape, weights, seen.settings, seen.placing)
    formula = placement.gpu_bytes / (seen.peak * MIB)
    assert 1.0 <= formula <= most, "of the peak, by the closed form"
    assert placement.gpu_bytes - drivers == pytest.approx(seen.dry * MIB, rel=0.015)
