from dataclasses import replace

import pytest

from localllm.core.catalogue import Catalogue
from localllm.core.evaluate.figures import figures_of
from localllm.core.evaluate.results import Evaluation, Measured, Results
from localllm.core.measured import catalogue_here, with_measured
from localllm.core.recommend import Situation, Wish, choices_of, explain_choice
from localllm.paths import Paths, resources_folder
from tests.core import machines
from tests.core.evaluate.test_figures import scores

BASE = Measured("base", "/base.gguf", "b" * 64, "F16")


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.load(resources_folder() / "catalogue.json")


@pytest.fixture
def model(catalogue):
    return catalogue.model("qwen3-8b")


def result(model, quant="Q4_K_M", worse=0.5, **facts):
    facts = {"repo": model.repo, **facts}
    measured = Measured(
        "mine", "/mine.gguf", facts.pop("hash", "a" * 64), quant, 5 * 10**9, model.shape.architecture,
        model.parameters, **facts,
    )  # fmt: skip
    return Evaluation(measured, BASE, "my text", "t" * 64, figures_of(scores(worse=worse)), 512)


def test_what_was_measured_takes_the_place_of_what_is_published(catalogue, model):
    one = result(model)
    here = with_measured(catalogue, [one])
    loss = here.loss(model, "Q4_K_M")
    assert (loss.basis, loss.source) == ("measured", "my text")
    assert loss.divergence == one.figures.comparison.divergence.mean.value
    assert catalogue.loss(model, "Q4_K_M").basis == "published"
    other = catalogue.model("qwen3-4b")
    assert here.loss(other, "Q4_K_M") == catalogue.loss(other, "Q4_K_M")


def test_the_models_other_files_are_scaled_to_it(catalogue, model):
    here = with_measured(catalogue, [result(model)])
    ratio = here.loss(model, "Q4_K_M").divergence / catalogue.loss(model, "Q4_K_M").divergence
    larger = here.loss(model, "Q6_K")
    assert larger.basis == "scaled"
    assert larger.divergence == pytest.approx(ratio * catalogue.loss(model, "Q6_K").divergence)
    assert larger.leaves(50, 8 * 10**9) > here.loss(model, "Q4_K_M").leaves(50, 8 * 10**9)


def test_own_quantizations_are_known_by_name_and_size(catalogue, model):
    title = model.base_repo.rpartition("/")[2].replace("-", " ")
    assert with_measured(catalogue, [result(model, repo="", title=title)]).measured
    assert not with_measured(catalogue, [result(model, repo="", title="Something else")]).measured
    small = result(model, repo="", title=title)
    small = replace(small, model=replace(small.model, parameters=10**6))
    assert not with_measured(catalogue, [small]).measured
    assert not with_measured(catalogue, [result(model, repo="somebody/else", title=title)]).measured


def test_the_hubs_hash_is_enough(catalogue):
    model, file = next((m, f) for m in catalogue.models for f in m.quants if f.sha256)
    found = with_measured(catalogue, [result(model, quant="?", repo="", hash=file.sha256)])
    assert found.measured[model.id, file.name].basis == "measured"


def test_what_says_little_does_not_count(catalogue, model):
    one = result(model)
    few = replace(one, figures=figures_of(scores(positions=60)))
    for useless in (
        few, replace(one, kv_type_k="q8_0"), replace(one, base=None),
        replace(one, base=replace(BASE, quant="Q8_0")),
    ):  # fmt: skip
        assert not with_measured(catalogue, [useless]).measured


def test_most_positions_count(catalogue, model):
    short, long = result(model), replace(result(model, worse=0.2), figures=figures_of(scores(2000)))
    for order in ([short, long], [long, short]):
        found = with_measured(catalogue, order).loss(model, "Q4_K_M")
        assert found.divergence == long.figures.comparison.divergence.mean.value


def test_the_recommendation_goes_by_it_and_says_so(catalogue, model):
    here = with_measured(catalogue, [result(model, worse=9.0)])

    def choice(of):
        choices = choices_of(machines.RTX_4090, of, model, Wish())
        return next(one for one in choices if one.quant == "Q4_K_M")

    assert choice(here).quality.score < choice(catalogue).quality.score - 5
    assert "measured here" in str(choice(here).reason)
    assert "measured here" not in str(choice(catalogue).reason)
    situation = Situation.of(machines.RTX_4090, here, Wish())
    assert any(
        "measured here (my text)" in str(line) for line in explain_choice(situation, choice(here)).quality
    )


def test_the_users_catalogue_has_what_was_measured():
    paths = Paths.for_user()
    assert catalogue_here(paths).measured == {}
    model = catalogue_here(paths).model("qwen3-8b")
    Results(paths.evaluations_file).add(result(model))
    assert ("qwen3-8b", "Q4_K_M") in catalogue_here(paths).measured


def test_results_that_cannot_be_read_leave_what_was_published():
    paths = Paths.for_user()
    paths.evaluations_file.mkdir(parents=True)
    assert catalogue_here(paths).measured == {}
