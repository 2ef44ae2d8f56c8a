"""The words beside a speed claim no more than was measured."""

import pytest

from localllm.core.speed import SpeedEstimate
from localllm.ui.verdicts import interval_of, source_of_speed


@pytest.mark.parametrize(
    ("basis", "short", "long"),
    [
        ("measured", "measured here, ±25 %", "measured on this computer"),
        ("carried", "estimated from a measurement here, ±25 %", "a measurement here with 98 tokens in the"),
        ("calibrated", "from other models here, ±25 %", "from other models measured on this computer"),
        ("table", "estimated ±25 %", "estimated from tables"),
    ],
)
def test_a_speed_says_what_it_rests_on(basis, short, long):
    speed = SpeedEstimate(20.0, 15.0, 25.0, basis, measured_depth=98 if basis == "carried" else None)
    assert str(source_of_speed(speed)) == short
    assert str(interval_of(speed)).startswith("15.0 to 25 tokens/s, ")
    assert long in str(interval_of(speed))
