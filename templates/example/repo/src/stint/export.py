"""Entries for other programs."""

import csv
import io
from collections.abc import Iterable

from stint.entry import Entry

HEADINGS = ("day", "start", "end", "minutes", "client", "note")


def entries_csv(entries: Iterable[Entry]) -> str:
    """CSV with CRLF line ends, as spreadsheets write it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADINGS)
    for entry in entries:
        writer.writerow(
            (
                entry.day.isoformat(),
                entry.start.isoformat("minutes"),
                entry.end.isoformat("minutes"),
                entry.minutes,
                entry.client,
                entry.note,
            )
        )
    return text.getvalue()
