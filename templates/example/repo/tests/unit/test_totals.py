from pathlib import Path

from stint.durations import clock_format
from stint.parse import parse_log
from stint.totals import minutes_by_client, minutes_by_tag, total_minutes

LOG = Path(__file__).parents[1] / "data" / "may.txt"
ENTRIES = parse_log(LOG.read_text(encoding="utf-8").splitlines())


def test_the_total_is_the_sum_of_all_entries():
    assert clock_format(total_minutes(ENTRIES)) == "12:40"


def test_an_empty_log_has_no_hours():
    assert clock_format(total_minutes([])) == "0:00"


def test_the_busiest_client_comes_first():
    assert list(minutes_by_client(ENTRIES).items()) == [("acme", 605), ("bakery", 155)]


def test_an_entry_counts_for_each_of_its_tags():
    assert minutes_by_tag(ENTRIES) == {"audit": 545, "reading": 225}
