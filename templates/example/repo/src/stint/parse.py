"""From the text of a log to entries."""

import re
from collections.abc import Iterable
from datetime import date, time

from stint.entry import Entry
from stint.errors import LogError

LINE = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d) +"
    r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d) +"
    r"(?P<client>[\w-]+): *(?P<note>.*)"
)
TAG = re.compile(r"\+([\w-]+)")


def parse_log(lines: Iterable[str]) -> list[Entry]:
    """All entries, in the order of the log. Raises LogError at the first bad line."""
    entries = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            entries.append(parse_line(text, number))
    return entries


def parse_line(text: str, number: int) -> Entry:
    match = LINE.fullmatch(text)
    if match is None:
        raise LogError(number, "expected 'YYYY-MM-DD HH:MM-HH:MM client: note'")
    try:
        day = date.fromisoformat(match["day"])
        start = time.fromisoformat(match["start"])
        end = time.fromisoformat(match["end"])
    except ValueError as error:
        raise LogError(number, str(error)) from error
    if end <= start:
        raise LogError(number, "ends before it starts; past midnight, write two lines")
    note = match["note"].strip()
    return Entry(day, start, end, match["client"], note, tuple(TAG.findall(note)))
