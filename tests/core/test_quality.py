from dataclasses import replace

import pytest

from localllm.core.quality import Evaluation, QualityScale, QuantLoss


def ranking(models, use="chat"):
    scale = QualityScale(models)
    return sorted((model.id for model in models), key=lambda name: -score(scale, models, name, use))


def score(scale, models, name, use="chat"):
    return scale.quality(next(model for model in models if model.id == name), use).score


def test_a_benchmark_is_never_read_as_another(catalogue):
    """Only the order and the spacing of a benchmark's values matter, not their scale."""
    before = QualityScale(catalogue.models)
    moved = tuple(
        replace(
            model,
            quality=tuple(
                replace(entry, value=20 + entry.value / 2) if entry.benchmark == "GPQA" else entry
                for entry in model.quality
            ),
        )
        for model in catalogue.models
    )
    after = QualityScale(moved)
    for old, new in zip(catalogue.models, moved, strict=True):
        assert after.quality(new, "chat").score == pytest.approx(before.quality(old, "chat").score, abs=0.05)


def test_a_better_figure_is_a_better_score(catalogue):
    model = catalogue.model("gpt-oss-20b")
    better = replace(model, quality=tuple(replace(e, value=min(100, e.value + 8)) for e in model.quality))
    models = tuple(better if m.id == model.id else m for m in catalogue.models)
    assert QualityScale(models).quality(better, "chat").score > catalogue.scale.quality(model, "chat").score


def test_without_figures_it_says_so(catalogue):
    for model in catalogue.models:
        quality = catalogue.quality(model, model.uses[0])
        assert 0 <= quality.score <= 100
        if not model.quality:
            assert quality.estimated
            assert str(quality.source) == "estimated from size and age"
        elif not quality.estimated:
            assert any(entry.source in str(quality.source) for entry in model.quality)


def test_nothing_unmeasured_is_above_the_best_measured(catalogue):
    for use in ("chat", "embedding"):
        scores = [catalogue.quality(model, use) for model in catalogue.models if use in model.uses]
        best = max(quality.score for quality in scores if not quality.estimated)
        assert all(quality.score < best for quality in scores if quality.estimated)
        assert any(quality.estimated for quality in scores)


def test_embedding_models_have_a_scale_of_their_own(catalogue):
    model = catalogue.model("qwen3-embedding-8b")
    quality = catalogue.quality(model, "embedding")
    assert "MTEB (Multilingual) 70.58" in str(quality.source)
    assert quality.score == pytest.approx(70.58, abs=0.5)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("qwen3.5-4b", "qwen3-4b"),  # newer
        ("qwen3-8b", "qwen3-0.6b"),  # larger
        ("llama-3.3-70b-instruct", "llama-3.1-8b-instruct"),
        ("gemma-3-27b-it", "gemma-3-4b-it"),
        ("gpt-oss-120b", "gpt-oss-20b"),
        ("qwen2.5-7b-instruct", "mistral-7b-instruct-v0.3"),
        ("gemma-3-270m-it", "smollm2-135m-instruct"),
    ],
)
def test_what_everybody_knows(catalogue, better, worse):
    scale = catalogue.scale
    assert (
        scale.quality(catalogue.model(better), "chat").score
        > scale.quality(catalogue.model(worse), "chat").score
    )


def test_figures_of_a_use_count_for_that_use(catalogue):
    model = catalogue.model("gpt-oss-20b")
    coder = replace(model, quality=(*model.quality, Evaluation("LiveCodeBench v6", 95.0, "a test")))
    models = tuple(coder if m.id == model.id else m for m in catalogue.models)
    scale = QualityScale(models)
    gained = scale.quality(coder, "code").score - catalogue.scale.quality(model, "code").score
    general = scale.quality(coder, "chat").score - catalogue.scale.quality(model, "chat").score
    assert gained > general + 1


def test_quantization_costs_more_in_a_small_model(catalogue):
    q4, q2 = (catalogue.quants.get(name).divergence for name in ("Q4_K_M", "Q2_K"))
    assert QuantLoss(q4, "").leaves(70, 8 * 10**9) > 69
    assert QuantLoss(q2, "").leaves(70, 8 * 10**9) < 62
    assert QuantLoss(q4, "").leaves(70, 5 * 10**8) < QuantLoss(q4, "").leaves(70, 70 * 10**9) < 70
    assert QuantLoss(0, "").leaves(70, 10**9) == 70
