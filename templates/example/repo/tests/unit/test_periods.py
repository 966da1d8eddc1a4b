from datetime import date

import pytest

from stint.periods import Period, month_of


@pytest.mark.parametrize(
    ("day", "last"),
    [
        (date(2024, 2, 10), date(2024, 2, 29)),
        (date(2024, 4, 30), date(2024, 4, 30)),
        (date(2024, 12, 1), date(2024, 12, 31)),
    ],
)
def test_a_month_ends_on_its_last_day(day, last):
    assert month_of(day) == Period(day.replace(day=1), last)


def test_both_ends_of_a_period_are_part_of_it():
    period = month_of(date(2024, 5, 13))

    assert date(2024, 5, 1) in period
    assert date(2024, 5, 31) in period
    assert date(2024, 6, 1) not in period
