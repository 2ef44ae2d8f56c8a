from dataclasses import replace

import pytest

from localllm.core.discover import offer_to_take
from localllm.core.estimate import Question, subject_of_row
from localllm.core.fit import FitSettings
from localllm.core.hub.offers import offers_of
from localllm.core.hub.records import RemoteFile, Repository
from localllm.core.recommend import READING_SPEED
from tests.core import machines
from tests.core.estimators import estimator_in


@pytest.fixture
def offers_and_estimates(catalogue, tmp_path):
    """Return a function: the offers of the dense chat model nearest a size, and what each takes."""
    dense = [model for model in catalogue.models if "chat" in model.uses and not model.shape.experts]

    def answer(billions, machine=machines.REFERENCE):
        model = min(dense, key=lambda model: abs(model.parameters - billions * 1e9))
        files = tuple(RemoteFile(f"M-{row.name}.gguf", row.size) for row in model.quants)
        described = Repository("u/m", "a" * 40, False, False, "", (), files, (), "", "")
        offers = offers_of(described).models
        rows = {row.name: row for row in model.quants}
        estimator = estimator_in(tmp_path)
        subjects = {offer: subject_of_row(model, rows[offer.quant]) for offer in offers}
        return offers, {
            offer: estimator.estimate(Question(subject, FitSettings(8192), machine, here=False))
            for offer, subject in subjects.items()
        }

    return answer


def take(catalogue, offers, estimates, room=None):
    chosen = offer_to_take(offers, catalogue.quants, estimates, room)
    return chosen and chosen.quant


def test_the_best_that_fits_is_recommended_where_it_answers_at_reading_speed(catalogue, offers_and_estimates):
    offers, estimates = offers_and_estimates(1)
    assert take(catalogue, offers, estimates) == "Q8_0"
    assert take(catalogue, *offers_and_estimates(8, machines.RTX_4090)) == "Q8_0"


def test_a_lesser_one_where_only_that_answers_at_reading_speed(catalogue, offers_and_estimates):
    slow_memory = replace(
        machines.REFERENCE, cpu=machines.cpu(8, machines.AVX512), memory_bandwidth=10 * machines.GB
    )
    offers, estimates = offers_and_estimates(2, slow_memory)
    speeds = {offer.quant: estimates[offer].speed.tokens_per_second for offer in offers}
    assert all(estimate.verdict == "fits" for estimate in estimates.values())
    assert speeds["Q4_K_M"] < READING_SPEED <= speeds["IQ4_XS"]
    assert take(catalogue, offers, estimates) == "IQ4_XS"


def test_the_usual_one_where_none_answers_at_reading_speed(catalogue, offers_and_estimates):
    offers, estimates = offers_and_estimates(14)
    assert take(catalogue, offers, estimates) == "Q4_K_M"
    assert take(catalogue, [offer for offer in offers if offer.quant != "Q4_K_M"], estimates) == "IQ4_XS"
    unusable = {offer: None if offer.quant == "Q4_K_M" else estimate for offer, estimate in estimates.items()}
    assert take(catalogue, offers, unusable) == "IQ4_XS"
    assert take(catalogue, offers, dict.fromkeys(offers)) is None


def test_one_header_tells_the_speed_of_the_others(catalogue, offers_and_estimates):
    offers, estimates = offers_and_estimates(8)
    assert take(catalogue, offers, {}, room=64 << 30) == "Q8_0"
    assert take(catalogue, offers, {}) == "Q4_K_M"
    largest = offers[-1]
    first = {largest: estimates[largest]}
    assert take(catalogue, offers, first, room=64 << 30) == "Q4_K_M"
    assert take(catalogue, offers, first, room=1 << 30) == "Q8_0"
