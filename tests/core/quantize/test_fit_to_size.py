"""Quantize to fit: under the budget, better than the plain type, and exactly as long as was said."""

import pytest

from localllm.core.fit import FitSettings, budgets_of, place_within
from localllm.core.machine import Cpu, Gpu, Machine, Memory
from localllm.core.quantize.damage import ERRORS, damage, role_weight
from localllm.core.quantize.device_budget import device_budget
from localllm.core.quantize.fit_to_size import fit_to_size, role_of
from localllm.core.quantize.plan import Wish
from localllm.core.quantize.source import open_source
from localllm.core.quantize.types import TENSOR_NUMBERS, TYPES
from localllm.errors import QuantizationRefused
from localllm.progress import Progress
from tests.core.quantize.small_model import Importance

MIB = 2**20


@pytest.fixture
def fit(quantizer):
    def fitted(budget, wish=None):
        wish = wish or Wish(TYPES["Q8_0"])
        return fit_to_size(quantizer.source, wish, budget, lambda one: quantizer.plan(one, Progress()))

    return fitted


def test_each_budget_is_kept_and_more_room_never_costs_quality(fit):
    last = float("inf")
    for budget in (1_300_000, 1_500_000, 1_800_000, 2_300_000):
        fitted = fit(budget)
        assert fitted.base.size <= fitted.plan.size <= budget
        now = damage(fitted.plan.tensors)
        assert now <= damage(fitted.base.tensors)
        assert now <= last
        last = now


def test_what_is_left_is_spent(fit):
    fitted = fit(1_600_000)
    assert fitted.raised
    assert fitted.budget - fitted.plan.size < 120_000  # less than any step costs
    assert all(new in ERRORS and ERRORS[new] < ERRORS[old] for _role, old, new in fitted.raised)


def test_file_is_written_as_it_was_chosen(fit, quantizer, tmp_path):
    fitted = fit(1_600_000)
    assert quantizer.write(fitted.plan, tmp_path / "x.gguf", Progress()).size == fitted.plan.size <= 1_600_000


def test_types_of_ones_own_are_kept(fit):
    fitted = fit(1_700_000, Wish(TYPES["Q8_0"], tensor_types=(("attn_q", "Q4_0"),)))
    types = {tensor.type_name for tensor in fitted.plan.tensors if "attn_q" in tensor.name}
    assert types == {"Q4_0"}


def test_smaller_types_come_with_an_importance_matrix(fit):
    with pytest.raises(QuantizationRefused, match="does not fit") as error:
        fit(900_000)
    assert "importance matrix" in str(error.value.hint)
    wish = Wish(TYPES["Q8_0"], importance=Importance(), importance_label="words.gguf")
    assert fit(900_000, wish).base.wish.type.imatrix == "needed"
    with pytest.raises(QuantizationRefused, match="does not fit") as error:
        fit(300_000, wish)
    assert "smaller model" in str(error.value.hint)


def test_model_that_fits_is_left_alone(fit):
    with pytest.raises(QuantizationRefused, match="fits as it is"):
        fit(100 * MIB)


def test_every_type_has_an_error_and_roles_are_ordered():
    assert set(ERRORS) == set(TENSOR_NUMBERS)
    weight = {
        name: role_weight(name, tied=False, expert_share=0.25)
        for name in ("blk.1.attn_v.weight", "blk.1.ffn_down.weight", "blk.1.ffn_up.weight", "token_embd.weight",
                     "blk.1.ffn_up_exps.weight")
    }  # fmt: skip
    assert sorted(weight, key=weight.__getitem__, reverse=True)[:3] == list(weight)[:3]
    assert weight["blk.1.ffn_up_exps.weight"] == 0.25
    assert role_weight("token_embd.weight", tied=True, expert_share=1) > weight["token_embd.weight"]
    assert role_of("blk.11.ffn_down.weight") == "ffn_down"


def machine(memory, gpu=None):
    gpus = (Gpu("Test", "NVIDIA", "discrete", gpu, gpu, usable=True),) if gpu else ()
    return Machine("Linux", Cpu("c", "x86_64", 8, 8, 8), Memory(memory, memory), gpus)


def test_device_budget_is_the_most_that_fits(starter):
    source = open_source(starter, Progress())
    settings = FitSettings(4096)
    most = sum(header.file_size for header in source.headers)
    assert device_budget(machine(16 * 2**30), source, settings) > most  # there is room for all of it
    tight = machine(600 * MIB)
    budget = device_budget(tight, source, settings)
    assert budget < most
    from localllm.core.estimate.subject import subject_of_file

    shape = subject_of_file(starter).shape
    for weights, verdict in ((budget - source.header.data_offset, True), (budget + 2 * MIB, False)):
        placed = place_within(budgets_of(tight), shape, weights, settings)
        assert (placed[2] in ("fits", "tight")) is verdict


def test_longer_context_leaves_less_on_a_gpu(starter):
    source = open_source(starter, Progress())
    small = machine(16 * 2**30, 400 * MIB)
    short, long = (device_budget(small, source, FitSettings(tokens)) for tokens in (1024, 2048))
    assert long < short
    with pytest.raises(QuantizationRefused, match="alone takes more memory"):
        device_budget(small, source, FitSettings(8192))
