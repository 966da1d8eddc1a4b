from pathlib import Path

import pytest

from stint.cli import main

DATA = Path(__file__).parents[2] / "data"
LOG = str(DATA / "may.txt")

WEEK_20 = """\
Week 2024-W20: 13 May to 19 May
         Mon   Tue   Wed   Thu   Fri   Sat   Sun  Total
acme    7:15  0:00  0:00  1:50  0:00  0:00  0:00   9:05
bakery  0:00  1:30  0:00  0:00  0:00  1:05  0:00   2:35
Total   7:15  1:30  0:00  1:50  0:00  1:05  0:00  11:40
Hours to bill: 11.67
No entry for: Wed 15 May, Fri 17 May
"""


def test_a_week_is_printed_by_client_and_day(capsys):
    assert main(["week", LOG, "--week", "2024-W20"]) == 0
    assert capsys.readouterr().out == WEEK_20


def test_the_last_week_of_the_log_is_the_default(capsys):
    main(["week", LOG])

    assert capsys.readouterr().out.startswith("Week 2024-W21: 20 May to 26 May\n")


def test_hours_to_bill_are_rounded_up(capsys):
    main(["week", LOG, "--week", "2024-W20", "--round", "15"])

    assert "Hours to bill: 11.75\n" in capsys.readouterr().out


def test_a_full_week_misses_nothing(capsys, tmp_path):
    log = tmp_path / "hours.txt"
    log.write_text("2024-05-13 09:00-12:30 acme: plan\n", encoding="utf-8")
    (tmp_path / "stint.toml").write_text('workdays = ["mon"]\n', encoding="utf-8")

    main(["week", str(log)])

    assert "No entry for" not in capsys.readouterr().out


@pytest.mark.parametrize("bad", ["2024-W54", "soon"])
def test_a_bad_week_is_an_error_that_quotes_it(capsys, bad):
    assert main(["week", LOG, "--week", bad]) == 1
    assert f"'{bad}'" in capsys.readouterr().err


def test_an_empty_log_has_no_last_week(capsys, tmp_path):
    log = tmp_path / "hours.txt"
    log.touch()

    assert main(["week", str(log)]) == 1
    assert capsys.readouterr().err == "stint: the log is empty; name a week with --week\n"
