from dataclasses import replace

import pytest

from localllm.core.estimate import Question, subject_of_file, subject_of_row
from localllm.core.estimate.advice import advise
from localllm.core.estimate.rules_of_thumb import nominal_bytes, rules_of_thumb
from localllm.core.fit import FitSettings, Placing
from localllm.core.hardware import probe
from localllm.texts import Bytes
from tests.core import machines
from tests.core.estimators import estimator_in
from tests.core.fit.synthetic import write_header
from tests.core.machines import memory

GIB = 2**30


@pytest.fixture
def estimator(tmp_path):
    return estimator_in(tmp_path)


def asked(estimator, catalogue, name, settings, machine=machines.REFERENCE):
    row = catalogue.model(name)
    file = next(file for file in row.quants if file.name == "Q4_K_M")
    question = Question(subject_of_row(row, file), settings, machine, here=False)
    answer = estimator.estimate(question)
    return question, answer, advise(estimator, question, answer)


def test_what_does_not_fit_is_told_the_context_that_would(estimator, catalogue):
    question, answer, advice = asked(estimator, catalogue, "qwen3-8b", FitSettings(262144))
    assert answer.verdict == "does_not_fit"
    shorter = next(entry for entry in advice if "context_length" in entry.changes)
    there = replace(question.settings, **shorter.changes)
    assert estimator.estimate(replace(question, settings=there)).verdict == "fits"
    twice = replace(question.settings, context_length=2 * there.context_length)
    assert estimator.estimate(replace(question, settings=twice)).verdict != "fits"


def test_a_smaller_cache_says_what_it_saves(estimator, catalogue):
    question, answer, advice = asked(estimator, catalogue, "qwen3-8b", FitSettings(16384))
    entry = next(entry for entry in advice if "kv_type_k" in entry.changes)
    smaller = estimator.estimate(replace(question, settings=replace(question.settings, **entry.changes)))
    assert answer.memory.kv - smaller.memory.kv == int(answer.memory.kv * (1 - 34 / 64))
    assert "saves 1.05 GiB" in str(entry.sentence)


def test_closing_programs_says_how_much_more_must_be_free(estimator, catalogue):
    busy = replace(machines.REFERENCE, memory=memory(23.5, 4))
    _, answer, advice = asked(estimator, catalogue, "qwen3-8b", FitSettings(4096), busy)
    assert answer.verdict == "needs_closing_apps"
    assert "Close other programs" in str(advice[0].sentence)


def test_what_fits_with_a_short_context_is_told_how_long_it_could_be(estimator, catalogue):
    _, answer, advice = asked(estimator, catalogue, "qwen3-8b", FitSettings(2048))
    assert answer.verdict == "fits"
    assert any(entry.changes.get("context_length", 0) > 2048 for entry in advice)


def test_the_rules_that_courses_teach_stand_beside_the_figure(estimator, catalogue):
    _, answer, _ = asked(estimator, catalogue, "llama-3.1-8b-instruct", FitSettings(32768))
    weights, cache, both = rules_of_thumb(answer)
    assert cache.result == 2 * 32 * 4096 * 32768 * 2, "the course's own formula"
    assert cache.error == pytest.approx(3.0), "four query heads share one head of keys and values"
    assert "32 query heads share 8" in str(cache.why)
    assert weights.result == pytest.approx(8.03e9 * 0.5 * 1.2, rel=0.01)
    assert both.result == weights.result + cache.result
    assert both.error > 1.3, "135 % too much for this model and context"


@pytest.mark.parametrize(
    ("name", "why"), [("gemma-3-4b-it", "last 1024 tokens"), ("deepseek-r1-0528", "MLA")]
)
def test_the_reason_is_the_models_own(estimator, catalogue, name, why):
    _, answer, _ = asked(estimator, catalogue, name, FitSettings(8192))
    assert why in str(rules_of_thumb(answer)[1].why)


@pytest.mark.parametrize(
    ("quant", "nominal"),
    [
        ("Q4_K_M", 0.5),
        ("IQ4_XS", 0.5),
        ("Q8_0", 1),
        ("F16", 2),
        ("BF16", 2),
        ("F32", 4),
        ("MXFP4", 0.5),
        ("Q6_K", 0.75),
    ],
)
def test_names_of_quantizations_suggest_bytes(quant, nominal):
    assert nominal_bytes(quant) == nominal


def test_what_a_busy_gpu_lacks_is_told_of_that_gpu(estimator, catalogue):
    row = catalogue.model("qwen3-8b")
    file = next(file for file in row.quants if file.name == "Q4_K_M")
    busy = replace(machines.RTX_4060, gpus=(machines.nvidia("NVIDIA GeForce RTX 4060", 8, 272, free=2),))
    placing = Placing(row.shape.layers + 1)
    question = Question(subject_of_row(row, file), FitSettings(2048), busy, placing, here=False)
    answer = estimator.estimate(question)
    assert answer.verdict == "needs_closing_apps"
    assert answer.short_of_gpu
    assert answer.available > answer.memory.total, "main memory is no help to layers on the GPU"
    assert answer.missing == answer.placement.gpu_bytes - 2 * GIB
    assert advise(estimator, question, answer)[0].sentence.values["missing"] == Bytes(answer.missing)


def test_a_cache_that_llama_cpp_refuses_is_not_advised(estimator, catalogue, tmp_path):
    shape = replace(catalogue.model("llama-3.1-8b-instruct").shape, key_length=80, value_length=80)
    write_header(tmp_path / "heads-of-80.gguf", shape)
    subject = subject_of_file(tmp_path / "heads-of-80.gguf")
    for known in (subject, replace(subject, shape=None)):
        question = Question(known, FitSettings(8192), probe(tmp_path), extra_buffers=False)
        answer = estimator.estimate(question)
        assert answer.memory.certainty == "exact"
        assert not any("kv_type_k" in entry.changes for entry in advise(estimator, question, answer))
    estimator.rest()
