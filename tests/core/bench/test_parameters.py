import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.bench import BenchedModel, Parameters, make_plan
from localllm.core.bench.parameters import read_numbers
from localllm.engine.protocol import BenchTest


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("512", (512,)),
        ("1,4", (1, 4)),
        ("1-4", (1, 2, 3, 4)),
        ("128-512+128", (128, 256, 384, 512)),
        ("1-16*2", (1, 2, 4, 8, 16)),
        ("0,64-130*2,7", (0, 64, 128, 7)),
        ("5,", (5,)),
    ],
)
def test_lists_and_ranges_are_llama_benchs(words, numbers):
    assert read_numbers(words) == numbers


@pytest.mark.parametrize(
    "words", ["", "x", "4-1", "1-8*1", "0-8*2", "1-8+0", "0-2147483647", "-1", "1--2", "²"]
)
def test_what_makes_no_sense_is_refused(words):
    with pytest.raises(ValueError, match=r"[a-z]"):
        read_numbers(words)


def test_minus_one_is_allowed_where_it_means_all():
    assert read_numbers("-1,0,33", -1) == (-1, 0, 33)


@given(st.integers(0, 10**6), st.integers(0, 500), st.integers(1, 50))
def test_a_range_ends_within_one_step_of_its_last(first, width, step):
    numbers = read_numbers(f"{first}-{first + width}+{step}")
    assert numbers[0] == first
    assert first + width - step < numbers[-1] <= first + width
    assert {after - before for before, after in itertools.pairwise(numbers)} <= {step}


def test_the_matrix_has_llama_benchs_order(tmp_path):
    model = BenchedModel(tmp_path / "a.gguf", "a")
    wanted = Parameters((16, 0), (4,), ((8, 2),), (0, 32), threads=(1, 0), flash=("on", "off"), repetitions=2)
    plan = make_plan([model], wanted, cores=6)
    assert [(one.flash, one.settings.threads) for one in plan] == [
        ("on", 1),
        ("on", 6),
        ("off", 1),
        ("off", 6),
    ]
    assert plan[0].tests == (
        BenchTest(16, 0, 0, 2),
        BenchTest(0, 4, 0, 2),
        BenchTest(8, 2, 0, 2),
        BenchTest(16, 0, 32, 2),
        BenchTest(0, 4, 32, 2),
        BenchTest(8, 2, 32, 2),
    )
    assert plan[0].settings.require_flash_attention
    assert not plan[3].settings.flash_attention
    assert make_plan([model], Parameters((0,), (0,)), cores=6) == ()
