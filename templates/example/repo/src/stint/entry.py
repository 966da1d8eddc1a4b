from dataclasses import dataclass
from datetime import date, time


@dataclass(frozen=True, slots=True)
class Entry:
    """One stint: work without a break, on one day, for one client."""

    day: date
    start: time
    end: time
    client: str
    note: str = ""
    tags: tuple[str, ...] = ()

    @property
    def minutes(self) -> int:
        return _minute_of_day(self.end) - _minute_of_day(self.start)


def _minute_of_day(moment: time) -> int:
    return moment.hour * 60 + moment.minute
