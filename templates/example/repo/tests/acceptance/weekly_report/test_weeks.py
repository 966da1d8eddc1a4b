from datetime import date

import pytest

from stint.errors import StintError
from stint.periods import Period, parse_week, week_label, week_of

WEEK_20 = Period(date(2024, 5, 13), date(2024, 5, 19))


@pytest.mark.parametrize("day", [date(2024, 5, 13), date(2024, 5, 16), date(2024, 5, 19)])
def test_a_week_goes_from_monday_to_sunday(day):
    assert week_of(day) == WEEK_20


def test_the_days_of_a_week_are_seven():
    days = WEEK_20.days()

    assert len(days) == 7
    assert days[0] == date(2024, 5, 13)
    assert days[-1] == date(2024, 5, 19)


def test_a_period_of_one_day_has_that_day():
    day = date(2024, 5, 13)

    assert Period(day, day).days() == [day]


@pytest.mark.parametrize(
    ("day", "label"),
    [
        (date(2024, 5, 16), "2024-W20"),
        (date(2024, 12, 30), "2025-W01"),
        (date(2021, 1, 3), "2020-W53"),
    ],
)
def test_a_label_names_the_iso_week_and_is_read_back(day, label):
    assert week_label(week_of(day)) == label
    assert parse_week(label) == week_of(day)


@pytest.mark.parametrize("label", ["2024-20", "2024-W54", "W20", "next", ""])
def test_a_bad_label_is_an_error_that_quotes_it(label):
    with pytest.raises(StintError, match=f"'{label}'"):
        parse_week(label)
