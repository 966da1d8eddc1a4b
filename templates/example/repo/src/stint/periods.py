from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from stint.entry import Entry


@dataclass(frozen=True, slots=True)
class Period:
    """Some days in a row. The first and the last day are both part of it."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


def month_of(day: date) -> Period:
    """The calendar month that a day lies in."""
    first = day.replace(day=1)
    next_month = (first + timedelta(days=31)).replace(day=1)
    return Period(first, next_month - timedelta(days=1))


def entries_in(entries: Iterable[Entry], period: Period) -> list[Entry]:
    return [entry for entry in entries if entry.day in period]
