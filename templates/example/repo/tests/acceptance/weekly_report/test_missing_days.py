from datetime import date
from pathlib import Path

import pytest

from stint.errors import StintError
from stint.gaps import missing_days
from stint.parse import parse_log
from stint.periods import Period
from stint.settings import Settings, load_settings

DATA = Path(__file__).parents[2] / "data"
ENTRIES = parse_log((DATA / "may.txt").read_text(encoding="utf-8").splitlines())
WEEK_20 = Period(date(2024, 5, 13), date(2024, 5, 19))


def test_working_days_without_an_entry_are_missing():
    assert missing_days(ENTRIES, WEEK_20, Settings().workdays) == [
        date(2024, 5, 15),
        date(2024, 5, 17),
    ]


def test_a_weekend_is_not_missing():
    assert len(missing_days([], WEEK_20, Settings().workdays)) == 5


def test_a_part_time_week_misses_only_its_own_days(tmp_path):
    path = tmp_path / "stint.toml"
    path.write_text('workdays = ["wed", "sat", "sun"]\n', encoding="utf-8")

    missing = missing_days(ENTRIES, WEEK_20, load_settings(path).workdays)

    assert missing == [date(2024, 5, 15), date(2024, 5, 19)]


def test_an_unknown_workday_is_an_error_that_quotes_it(tmp_path):
    path = tmp_path / "stint.toml"
    path.write_text('workdays = ["mon", "tues"]\n', encoding="utf-8")

    with pytest.raises(StintError, match="'tues'"):
        load_settings(path)
