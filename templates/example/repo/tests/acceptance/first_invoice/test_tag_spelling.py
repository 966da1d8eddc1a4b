from stint.parse import parse_log
from stint.totals import minutes_by_tag

ENTRIES = parse_log(
    [
        "2024-05-13 09:00-10:00 acme: plan +Audit",
        "2024-05-14 09:00-10:30 acme: read +audit",
        "2024-05-15 09:00-09:30 acme: write +AUDIT",
    ]
)


def test_tags_that_differ_by_case_are_one_tag():
    assert list(minutes_by_tag(ENTRIES).values()) == [180]


def test_a_tag_is_shown_as_it_was_first_written():
    assert next(iter(minutes_by_tag(ENTRIES[:1]))) == "Audit"
