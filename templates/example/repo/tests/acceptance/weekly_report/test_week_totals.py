from datetime import date
from pathlib import Path

from stint.parse import parse_log
from stint.periods import Period
from stint.weekly import summarise_week

DATA = Path(__file__).parents[2] / "data"
ENTRIES = parse_log((DATA / "may.txt").read_text(encoding="utf-8").splitlines())
WEEK_20 = Period(date(2024, 5, 13), date(2024, 5, 19))


def test_each_client_has_its_minutes_of_every_day():
    summary = summarise_week(ENTRIES, WEEK_20)

    assert summary.clients == {
        "acme": (435, 0, 0, 110, 0, 0, 0),
        "bakery": (0, 90, 0, 0, 0, 65, 0),
    }


def test_the_busiest_client_comes_first():
    entries = [entry for entry in ENTRIES if entry.day != date(2024, 5, 13)]

    assert list(summarise_week(entries, WEEK_20).clients) == ["bakery", "acme"]


def test_days_and_the_week_are_summed():
    summary = summarise_week(ENTRIES, WEEK_20)

    assert summary.minutes_by_day == (435, 90, 0, 110, 0, 65, 0)
    assert summary.total_minutes == 700


def test_a_week_without_entries_has_no_clients():
    summary = summarise_week([], WEEK_20)

    assert summary.clients == {}
    assert summary.minutes_by_day == (0,) * 7
