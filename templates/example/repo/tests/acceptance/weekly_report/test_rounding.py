from decimal import Decimal

import pytest

from stint.durations import decimal_hours, round_up


@pytest.mark.parametrize(
    ("minutes", "step", "rounded"),
    [(0, 15, 0), (1, 15, 15), (15, 15, 15), (16, 15, 30), (61, 6, 66), (61, 1, 61)],
)
def test_minutes_are_rounded_up_to_whole_steps(minutes, step, rounded):
    assert round_up(minutes, step) == rounded


@pytest.mark.parametrize("step", [0, -15])
def test_a_step_is_at_least_a_minute(step):
    with pytest.raises(ValueError, match="at least 1"):
        round_up(10, step)


@pytest.mark.parametrize(
    ("minutes", "hours"), [(0, "0.00"), (45, "0.75"), (700, "11.67"), (6000, "100.00")]
)
def test_hours_have_two_decimals(minutes, hours):
    assert decimal_hours(minutes) == Decimal(hours)
    assert str(decimal_hours(minutes)) == hours
