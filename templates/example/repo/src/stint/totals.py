from collections import Counter
from collections.abc import Iterable

from stint.entry import Entry


def total_minutes(entries: Iterable[Entry]) -> int:
    return sum(entry.minutes for entry in entries)


def minutes_by_client(entries: Iterable[Entry]) -> dict[str, int]:
    """The largest first; equal ones in the order of the log."""
    minutes: Counter[str] = Counter()
    for entry in entries:
        minutes[entry.client] += entry.minutes
    return dict(minutes.most_common())


def minutes_by_tag(entries: Iterable[Entry]) -> dict[str, int]:
    """The largest first. An entry counts in full for each of its tags."""
    minutes: Counter[str] = Counter()
    for entry in entries:
        for tag in entry.tags:
            minutes[tag] += entry.minutes
    return dict(minutes.most_common())
