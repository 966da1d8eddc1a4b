from pathlib import Path

from stint.export import invoice_csv
from stint.parse import parse_log

DATA = Path(__file__).parents[2] / "data"
ENTRIES = parse_log((DATA / "may.txt").read_text(encoding="utf-8").splitlines())


def test_an_invoice_has_a_line_for_each_day():
    lines = invoice_csv(ENTRIES, "bakery", 6000).split("\r\n")

    assert lines == [
        "day,minutes,cents",
        "2024-05-14,90,9000",
        "2024-05-18,65,6500",
        "total,155,15500",
        "",
    ]
