from datetime import date, time

import pytest

from stint.entry import Entry
from stint.errors import LogError
from stint.parse import parse_line, parse_log


def test_a_line_becomes_an_entry():
    entry = parse_line("2024-05-13 09:00-12:30 acme: plan the audit +audit", 1)

    assert entry == Entry(
        date(2024, 5, 13), time(9), time(12, 30), "acme", "plan the audit +audit", ("audit",)
    )
    assert entry.minutes == 210


def test_empty_lines_and_comments_are_skipped():
    assert parse_log(["", "  ", "# Monday"]) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("yesterday", "line 3: expected 'YYYY-MM-DD HH:MM-HH:MM client: note'"),
        ("2024-02-30 09:00-10:00 acme: x", "line 3: day is out of range for month"),
        (
            "2024-05-13 22:00-01:00 acme: x",
            "line 3: ends before it starts; past midnight, write two lines",
        ),
    ],
)
def test_a_bad_line_is_named(line, message):
    with pytest.raises(LogError) as caught:
        parse_log(["", "# a comment", line])

    assert str(caught.value) == message
