"""How long a bench is expected to take, and the quick preset."""

from pathlib import Path

import pytest

from localllm.core.bench import BenchedModel, Parameters
from localllm.core.bench.duration import QUICK_SECONDS, Pace, expected_seconds, quick_parameters

MODEL = BenchedModel(Path("/models/one.gguf"), "one")


def test_a_bench_takes_what_its_tokens_take():
    pace = Pace(100.0, 10.0, 2_000_000_000)
    once = Parameters((100,), (20,), repetitions=1)
    # 3 s before, 1.5 s + 2 s of loading; 1 s to warm up and 1 s read; 0.1 s to warm up and 2 s written
    assert expected_seconds(once, [MODEL], [pace]) == pytest.approx(3 + 3.5 + 2 + 2.1)
    deep = Parameters((100,), (), depths=(0, 1000), repetitions=2)
    assert expected_seconds(deep, [MODEL], [pace]) == pytest.approx(3 + 3.5 + 3 + 13)
    twice = Parameters((), (20,), threads=(1, 2), repetitions=1)
    assert expected_seconds(twice, [MODEL, MODEL], [pace, pace]) == pytest.approx(3 + 4 * (3.5 + 2.1))


@pytest.mark.parametrize(
    ("pace", "chosen"),
    [
        (Pace(5000.0, 100.0, 10**8), (512, 128, 5)),
        (Pace(300.0, 40.0, 10**8), (512, 128, 3)),
        (Pace(60.0, 8.0, 4 * 10**9), (64, 16, 3)),
        (Pace(1.0, 0.1, 10**11), (8, 2, 1)),
    ],
)
def test_the_quick_preset_fits_the_computer(pace, chosen):
    found = quick_parameters([pace], [MODEL])
    assert (*found.prompts, *found.generated, found.repetitions) == chosen
    if pace.writing > 1:
        assert expected_seconds(found, [MODEL], [pace]) <= QUICK_SECONDS
    in_less = quick_parameters([pace], [MODEL], QUICK_SECONDS / 3)
    assert in_less.generated <= found.generated
    asked = quick_parameters([pace], [MODEL], QUICK_SECONDS, {"generated": (0,), "repetitions": 2})
    assert (asked.generated, asked.repetitions) == ((0,), 2)
    pair = quick_parameters([pace, pace], [MODEL, MODEL])
    assert pair.prompts <= found.prompts
